// Requests that are framed in unusual ways: what WebServer is to answer, and what others do.

const HOST = "Host: x\r\n";
const get = (fields: string, body = "") => `GET /a HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const post = (fields: string, body = "") => `POST /a HTTP/1.1\r\n${HOST}${fields}\r\n${body}`;
const old = (fields: string, body = "") =>
  `GET /a HTTP/1.0\r\nConnection: keep-alive\r\n${fields}\r\n${body}`;
const length = (...values: string[]) =>
  get(values.map((value) => `Content-Length: ${value}\r\n`).join(""), "12345");
const coded = (...values: string[]) =>
  get(values.map((value) => `Transfer-Encoding: ${value}\r\n`).join(""), "0\r\n\r\n");
const chunked = (body: string) => get("Transfer-Encoding: chunked\r\n", body);
const CONTINUE = "Expect: 100-continue\r\n";
const line = (text: string) => `${text}\r\n${HOST}\r\n`;

export interface Row {
  readonly rule: string;
  readonly name: string;
  /** A request for `/a`, to be followed by a good one unless it `waits`. */
  readonly bytes: string;
  /** The statuses that come, with `x` if the server ends the connection before a good request. */
  readonly asked: string;
  /** The client waits after it, as one does that expects 100 Continue. */
  readonly waits: boolean;
}

type Columns = [rule: string, name: string, bytes: string, asked: string];

const table: Columns[] = [
  ["HF6", "POST with 5 bytes", post("Content-Length: 5\r\n", "12345"), "405+200"],
  ["HF6", "GET with 5 bytes", length("5"), "200+200"],
  ["HF6", "GET in chunks", chunked("5\r\n12345\r\n0\r\n\r\n"), "200+200"],
  [
    "HF3",
    "Content-Length and chunked",
    get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "400 x",
  ],
  ["HF2", "Content-Length 5 and 7", length("5", "7"), "400 x"],
  ["HF2", "Content-Length 5 twice", length("5", "5"), "400 x"],
  ["HF2", "Content-Length 5, 5", length("5, 5"), "400 x"],
  ["HF2", "Content-Length +5", length("+5"), "400 x"],
  ["HF2", "Content-Length 2^64 + 5", length("18446744073709551621"), "400 x"],
  ["HF2", "Content-Length 2^53", length("9007199254740992"), "400 x"],
  ["HF4", "Transfer-Encoding gzip", get("Transfer-Encoding: gzip\r\n", "12345"), "501 x"],
  ["HF4", "chunked, gzip", coded("chunked, gzip"), "400 x"],
  ["HF4", "chunked, chunked", coded("chunked, chunked"), "400 x"],
  ["HF4", "chunked twice", coded("chunked", "chunked"), "400 x"],
  ["HF4", "gzip, chunked", coded("gzip, chunked"), "501 x"],
  ["HF4", "chunked with a parameter", coded("chunked;a=b"), "400 x"],
  ["HF4", "an empty Transfer-Encoding", coded(""), "400 x"],
  [
    "HF3",
    "Transfer-Encoding in HTTP/1.0",
    old("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    "400 x",
  ],
  ["HF5", "chunk size Z", chunked("Z\r\n12345\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "chunk lines ended by LF", chunked("5\n12345\n0\n\n"), "400 x"],
  ["HF5", "chunk size +5", chunked("+5\r\n12345\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "a space before the size", chunked(" 5\r\n12345\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "chunk size 0x5", chunked("0x5\r\n12345\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "chunk size of 9 digits", chunked("000000005\r\n12345\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "no CR LF after the data", chunked("5\r\n1234567\r\n0\r\n\r\n"), "400 x"],
  ["HF5", "an extension", chunked("5;a=b\r\n12345\r\n0;c\r\n\r\n"), "200+200"],
  [
    "HF5",
    "an extension of 257 bytes",
    chunked(`5;${"e".repeat(257)}\r\n12345\r\n0\r\n\r\n`),
    "400 x",
  ],
  ["HF5", "trailers", chunked("5\r\n12345\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "200+200"],
  ["HF5", "trailers of 9 KiB", chunked(`0\r\n${"A: 012345678901\r\n".repeat(550)}\r\n`), "400 x"],
  ["HF8", "no Host", "GET /a HTTP/1.1\r\n\r\n", "400 x"],
  ["HF8", "two Hosts", get(HOST), "400 x"],
  ["HF8", "Host: a b", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", "400 x"],
  ["HF8", "an empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "200+200"],
  ["HF8", "two Hosts in HTTP/1.0", old(HOST + HOST), "400 x"],
  ["HF10", "OPTIONS *", line("OPTIONS * HTTP/1.1"), "204+200"],
  ["HF10", "OPTIONS of a file", line("OPTIONS /a HTTP/1.1"), "204+200"],
  ["HF10", "TRACE", line("TRACE /a HTTP/1.1"), "405+200"],
  ["HF10", "CONNECT", line("CONNECT a:443 HTTP/1.1"), "405 x"],
  ["HF10", "FOO", line("FOO /a HTTP/1.1"), "501+200"],
  ["HF10", "get", line("get /a HTTP/1.1"), "501+200"],
  ["HF12", "HTTP/2.0", line("GET /a HTTP/2.0"), "505 x"],
  ["HF12", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 x"],
  ["HF12", "HTTP/0.9", "GET /a\r\n", "400 x"],
  ["HF12", "a space before the colon", get("A : b\r\n"), "400 x"],
  ["HF12", "a NUL in a field", get("A: b\0c\r\n"), "400 x"],
  ["HF12", "a bare CR in a field", get("A: b\rc\r\n"), "400 x"],
  ["HF12", "a folded field", get("A: b\r\n c\r\n"), "400 x"],
  ["HF12", "field lines ended by LF", "GET /a HTTP/1.1\nHost: x\n\n", "200+200"],
  ["HF7", "Expect: foo", get("Expect: foo\r\n"), "417+200"],
  ["HF7", "Expect: foo in HTTP/1.0", old("Expect: foo\r\n"), "200+200"],
  ["HF12", "a target of 9000", line(`GET /${"t".repeat(9000)} HTTP/1.1`), "414 x"],
  ["HF12", "a field of 40,000", get(`A: ${"f".repeat(40_000)}\r\n`), "431 x"],
  ["HF12", "100 fields", get("A: b\r\n".repeat(99)), "200+200"],
  ["HF12", "101 fields", get("A: b\r\n".repeat(100)), "431 x"],
  ["HF12", "an empty line first", `\r\n${get("")}`, "200+200"],
  ["HF12", "two empty lines first", `\r\n\r\n${get("")}`, "400 x"],
  ["HF9", "%00", line("GET /a%00 HTTP/1.1"), "400 x"],
  ["HF9", "%zz", line("GET /%zz HTTP/1.1"), "400 x"],
  ["HF9", "/..", line("GET /.. HTTP/1.1"), "400 x"],
  ["HF9", "a%2f..", line("GET /a%2f.. HTTP/1.1"), "404+200"],
  ["HF9", "# in the target", line("GET /a#b HTTP/1.1"), "400 x"],
  ["HF9", "a quote in the target", line('GET /a" HTTP/1.1'), "400 x"],
  ["HF9", "a brace in the query", line("GET /a?{} HTTP/1.1"), "400 x"],
  ["HF9", "* for GET", line("GET * HTTP/1.1"), "400 x"],
  ["HF9", "absolute form", line("GET http://y/a HTTP/1.1"), "200+200"],
  ["HF9", "absolute form of ftp", line("GET ftp://y/a HTTP/1.1"), "400 x"],
  ["HF9", "a user in the target", line("GET http://u@y/a HTTP/1.1"), "400 x"],
  ["HF9", "no slash in the target", line("GET a HTTP/1.1"), "400 x"],
  ["HF13", "Upgrade", get("Connection: Upgrade, X\r\nUpgrade: h2c\r\n"), "200+200"],
  ["HF10", "a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 x"],
];

const waiting: Columns[] = [
  ["HF7", "Expect: 100-continue", post(`${CONTINUE}Content-Length: 5\r\n`), "405 x"],
  ["HF7", "the same in chunks", get(`${CONTINUE}Transfer-Encoding: chunked\r\n`), "200 x"],
];

export const rows: readonly Row[] = [...table, ...waiting].map((columns) => {
  const [rule, name, bytes, asked] = columns;
  return { rule, name, bytes, asked, waits: waiting.includes(columns) };
});

/** The answers of others where they differ. */
export const differences = {
  nginx: {
    "Expect: 100-continue": "405",
    "the same in chunks": "100+200",
    "# in the target": "200+200",
    "101 fields": "200+200",
    CONNECT: "400 x",
    "Content-Length 2^53": "413 x",
    "Expect: foo": "200+200",
    FOO: "405+200",
    "HTTP/0.9": " x",
    "OPTIONS *": "400 x",
    "OPTIONS of a file": "405+200",
    PRI: "400 x",
    TRACE: "405 x",
    "a brace in the query": "200+200",
    "a field of 40,000": "400 x",
    "a quote in the target": "404+200",
    "a%2f..": "403+200",
    "absolute form of ftp": "200+200",
    "an empty Host": "400 x",
    "an empty Transfer-Encoding": "501 x",
    "an extension of 257 bytes": "200+200",
    "chunk lines ended by LF": "200+200",
    "chunk size of 9 digits": "200+200",
    "chunked with a parameter": "501 x",
    "chunked, chunked": "501 x",
    "chunked, gzip": "501 x",
    get: "400 x",
    "trailers of 9 KiB": "200+200",
    "two empty lines first": "200+200",
  },
  haproxy: {
    "Expect: 100-continue": "100",
    "the same in chunks": "100",
    "%00": "200+200",
    "%zz": "200+200",
    "* for GET": "200+200",
    "/..": "200+200",
    "101 fields": "400 x",
    CONNECT: "400 x",
    "Content-Length 2^53": " x",
    "Content-Length 5 twice": "200+200",
    "Content-Length 5, 5": "200+200",
    "Content-Length and chunked": "200 x",
    "Expect: foo in HTTP/1.0": "200 x",
    FOO: "400 x",
    "HTTP/2.0": "200+200",
    "Host: a b": "200+200",
    "OPTIONS *": "200+200",
    "OPTIONS of a file": "200+200",
    PRI: " x",
    TRACE: "200+200",
    "Transfer-Encoding gzip": "400 x",
    "Transfer-Encoding in HTTP/1.0": "413 x",
    "a brace in the query": "200+200",
    "a field of 40,000": "400 x",
    "a folded field": "200+200",
    "a quote in the target": "200+200",
    "a target of 9000": "200+200",
    "a%2f..": "200+200",
    "absolute form": "400 x",
    "an extension of 257 bytes": "200+200",
    "chunk lines ended by LF": "200+200",
    "chunk size of 9 digits": "200+200",
    get: "400 x",
    "gzip, chunked": "422 x",
    "no Host": "400+200",
    "two Hosts": "200+200",
    "two Hosts in HTTP/1.0": "200 x",
    "two empty lines first": "200+200",
    "POST with 5 bytes": "200+200",
  },
};
