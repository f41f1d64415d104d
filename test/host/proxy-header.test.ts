// The PROXY header: both versions, cut at each byte, and everything that only looks like one.
import { describe, expect, test } from "vitest";
import { parseProxyHeader } from "../../host/service/proxy-header.ts";

const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

function binary(command: number, family: number, body: Uint8Array): Buffer {
  const head = Buffer.from([command, family, body.length >> 8, body.length & 255]);
  return Buffer.concat([SIGNATURE, head, body]);
}

const FOUR = Buffer.from([192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80]);
const SIX = Buffer.concat([
  Buffer.from("20010db8000000000000000000000007", "hex"),
  Buffer.alloc(20),
]);
const EXTENSION = Buffer.from([0x20, 0, 3, 1, 2, 3]);

describe("a header", () => {
  test.each<[string, Buffer, string | null]>([
    ["of version 1, TCP4", Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\n"), "192.0.2.7"],
    ["of version 1, TCP6", Buffer.from("PROXY TCP6 2001:db8::7 ::1 1 80\r\n"), "2001:db8::7"],
    ["of version 1, unknown", Buffer.from("PROXY UNKNOWN\r\n"), null],
    ["of version 2, TCP4", binary(0x21, 0x11, FOUR), "192.0.2.7"],
    ["of version 2, TCP6", binary(0x21, 0x21, SIX), "2001:db8:0:0:0:0:0:7"],
    ["with extensions", binary(0x21, 0x11, Buffer.concat([FOUR, EXTENSION])), "192.0.2.7"],
    ["of a health check", binary(0x20, 0x00, Buffer.alloc(0)), null],
    ["of a path", binary(0x21, 0x31, Buffer.alloc(216)), null],
  ])("%s says who the client is, wherever it is cut", (_, header, address) => {
    for (let i = 0; i < header.length; i++) {
      expect(parseProxyHeader(header.subarray(0, i)), `${i}`).toBe("incomplete");
    }
    expect(parseProxyHeader(header)).toEqual({ bytes: header.length, address });
    const more = Buffer.concat([header, header]);
    expect(parseProxyHeader(more)).toEqual({ bytes: header.length, address });
  });

  test.each<[string, Buffer]>([
    ["a request", Buffer.from("GET / HTTP/1.1\r\n")],
    ["its first byte", Buffer.from("G")],
    ["another signature", Buffer.concat([SIGNATURE.subarray(0, 11), Buffer.from("x")])],
    ["version 1 of the binary form", binary(0x11, 0x11, FOUR)],
    ["a third command", binary(0x22, 0x11, FOUR)],
    ["datagrams", binary(0x21, 0x12, FOUR)],
    ["too short addresses", binary(0x21, 0x11, FOUR.subarray(0, 11))],
    ["64 KiB", Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
    ["a line without end", Buffer.from(`PROXY TCP4 ${"1".repeat(200)}`)],
    ["a line that ends in LF alone", Buffer.from("PROXY UNKNOWN\n")],
    ["an octet of 256", Buffer.from("PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n")],
    ["a port of six digits", Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1 100000 2\r\n")],
    ["no ports", Buffer.from("PROXY TCP4 192.0.2.7 10.0.0.1\r\n")],
    ["two spaces", Buffer.from("PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n")],
    ["small letters", Buffer.from("proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n")],
    ["markup", Buffer.from("PROXY TCP6 <script> ::1 1 2\r\n")],
  ])("is not %s", (_, bytes) => {
    expect(parseProxyHeader(bytes)).toBe("invalid");
  });
});
