/** Numbers and times as people read them; nothing that is not known becomes a dash. */

export const UNKNOWN = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `12,345` */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? UNKNOWN
    : grouped.format(value);
}

/** A rate with about three digits: `0`, `0.42`, `7.5`, `132`, `12.3k`. */
export function perSecond(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value === 0) return "0";
  if (value < 0.95) return value < 0.005 ? "<0.01" : value.toFixed(2);
  if (value < 9.95) return value.toFixed(1);
  if (value < 9_999.5) return grouped.format(Math.round(value));
  if (value < 999_500) return `${trimmed(value / 1_000)}k`;
  return `${trimmed(value / 1_000_000)}M`;
}

function trimmed(value: number): string {
  return value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/** A short time: `0.4 ms`, `12 ms`, `3.2 s`, then as a span. */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value < 9.95) return `${value === 0 ? "0" : value.toFixed(1)} ms`;
  if (value < 999.5) return `${value.toFixed(0)} ms`;
  return value < 9_950 ? `${(value / 1_000).toFixed(1)} s` : span(value);
}

const UNITS: [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** A span in its two largest units: `42 s`, `3 min 5 s`, `2 d 4 h`. */
export function span(milliseconds: number): string {
  let rest = Math.max(Math.floor(milliseconds / 1000), 0);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.length > 0 ? parts.join(" ") : "0 s";
}

/** How long ago a time was: `just now`, `12 s ago`, `3 h ago`. */
export function ago(time: string | null | undefined, now: number): string {
  const at = parseTime(time);
  if (at === null) return UNKNOWN;
  const milliseconds = now - at;
  if (milliseconds < 2_000) return "just now";
  const [first, second] = span(milliseconds).split(" ");
  return `${first} ${second} ago`;
}

/** Milliseconds since the epoch of an RFC 3339 time. */
export function parseTime(time: string | null | undefined): number | null {
  if (time === null || time === undefined) return null;
  const at = Date.parse(time);
  return Number.isNaN(at) ? null : at;
}

const two = (value: number) => String(value).padStart(2, "0");

/** `14:03:07`, in the reader's own time zone. */
export function clock(milliseconds: number): string {
  const at = new Date(milliseconds);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `2026-11-21 14:03`, in the reader's own time zone. */
export function dateTime(time: string | null | undefined): string {
  const at = parseTime(time);
  if (at === null) return UNKNOWN;
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(at).slice(0, 5)}`;
}

/** `1 proxy`, `3 proxies`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** The beginning of a hash or id that only needs to be told from others. */
export function short(id: string | null | undefined, length = 8): string {
  if (!id) return UNKNOWN;
  const bare = id.includes(":") ? id.slice(id.indexOf(":") + 1) : id;
  return bare.length > length ? bare.slice(0, length) : bare;
}
