/** Turns the bytes of an event stream into events, as the HTML standard parses `text/event-stream`. */

export interface ServerEvent {
  /** The `event:` field; `message` when there was none. */
  name: string;
  data: string;
  /** The last `id:` seen on the stream, empty when there was none. */
  id: string;
}

/** Fed with bytes in any portions; gives back the events that are complete. */
export class EventStreamParser {
  private readonly decoder = new TextDecoder("utf-8");
  private line = "";
  // A line feed right after a carriage return belongs to it, also when the two came apart.
  private afterCarriageReturn = false;
  private name = "";
  private data: string[] = [];
  private id = "";
  /** What the server asked for by `retry:`, in milliseconds. */
  retry: number | null = null;

  push(bytes: Uint8Array): ServerEvent[] {
    const events: ServerEvent[] = [];
    let text = this.decoder.decode(bytes, { stream: true });
    if (this.afterCarriageReturn && text !== "") {
      this.afterCarriageReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    let start = 0;
    for (let at = 0; at < text.length; at++) {
      const char = text[at];
      if (char !== "\n" && char !== "\r") continue;
      this.take(this.line + text.slice(start, at), events);
      this.line = "";
      if (char === "\r") {
        if (at + 1 === text.length) this.afterCarriageReturn = true;
        else if (text[at + 1] === "\n") at++;
      }
      start = at + 1;
    }
    this.line += text.slice(start);
    return events;
  }

  private take(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) {
        events.push({ name: this.name || "message", data: this.data.join("\n"), id: this.id });
      }
      this.name = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, sent to keep the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
  }
}
