/** What went wrong with a request, as the person at the page is told. */

/** One thing wrong in a document that was sent. */
export interface FieldProblem {
  /** RFC 6901 pointer into the document. */
  pointer: string;
  code: string;
  message: string;
}

/** A request that did not succeed; made from an RFC 9457 problem document where there is one. */
export class Problem extends Error {
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly fields: FieldProblem[] = [],
  ) {
    super(detail === "" ? title : `${title}: ${detail}`);
    this.name = "Problem";
  }
}

/** The token is missing, unknown or revoked. */
export const isUnauthorized = (error: unknown): boolean =>
  error instanceof Problem && error.status === 401;

/** An answer that reports an error, whatever its body is. */
export function problemOf(status: number, contentType: string, body: string): Problem {
  if (/[/+]json\b/.test(contentType)) {
    try {
      const document: unknown = JSON.parse(body);
      if (isRecord(document)) {
        const title = text(document["title"]) || fallbackTitle(status);
        return new Problem(status, title, text(document["detail"]), fieldsOf(document["errors"]));
      }
    } catch {
      // A body cut short: the status says what there is to say.
    }
  }
  return new Problem(status, fallbackTitle(status), contentType.startsWith("text/plain") ? body.slice(0, 500) : "");
}

/** Whatever was thrown, as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) {
    // What fetch throws when no connection could be made; its own words differ by browser.
    return new Problem(0, "No answer from the control plane", "It may be restarting, or the network is down.");
  }
  return new Problem(0, "Something unexpected happened", error instanceof Error ? error.message : String(error));
}

function fallbackTitle(status: number): string {
  switch (status) {
    case 401:
      return "The token is not valid";
    case 403:
      return "This token may not do that";
    case 404:
      return "Not found";
    case 409:
    case 412:
      return "Someone else changed this meanwhile";
    case 503:
      return "The control plane is not ready";
    default:
      return status >= 500 ? "The control plane failed" : "The request was refused";
  }
}

function fieldsOf(value: unknown): FieldProblem[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isRecord).map((entry) => ({
    pointer: text(entry["pointer"]),
    code: text(entry["code"]),
    message: text(entry["message"]) || text(entry["detail"]),
  }));
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
