import { describe, expect, it } from "vitest";
import { EventStreamParser, type ServerEvent } from "./sse";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function parse(...portions: Uint8Array[]): ServerEvent[] {
  const parser = new EventStreamParser();
  return portions.flatMap((portion) => parser.push(portion));
}

const sample =
  "\uFEFF: hello\r\n\r\nevent: proxies\r\nid: 7\r\ndata: {\"a\":\"ü€🐘\"}\r\ndata: second\r\n\r\n" +
  "data:no space\n\nevent: lost\n\ndata\r\rretry: 250\nignored: x\ndata:  two spaces\n\ndata: unfinished";

const expected: ServerEvent[] = [
  { name: "proxies", data: '{"a":"ü€🐘"}\nsecond', id: "7" },
  { name: "message", data: "no space", id: "7" },
  { name: "message", data: "", id: "7" },
  { name: "message", data: " two spaces", id: "7" },
];

describe("the event stream parser", () => {
  it("reads fields, comments and every kind of line end", () => {
    expect(parse(encode(sample))).toEqual(expected);
  });

  it("gives the same events for every split point", () => {
    const bytes = encode(sample);
    for (let at = 0; at <= bytes.length; at++) {
      expect(parse(bytes.slice(0, at), bytes.slice(at)), `split at ${at}`).toEqual(expected);
    }
  });

  it("gives the same events byte by byte", () => {
    expect(parse(...[...encode(sample)].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  it("keeps what the server asked for as the time to retry", () => {
    const parser = new EventStreamParser();
    parser.push(encode("retry: 1500\nretry: soon\n\n"));
    expect(parser.retry).toBe(1500);
  });

  it("gives an event as soon as its empty line is there", () => {
    const parser = new EventStreamParser();
    expect(parser.push(encode("data: x\r\n\r"))).toHaveLength(1);
    expect(parser.push(encode("\ndata: y\r\n\r\n"))).toHaveLength(1);
  });
});
