// Reason phrases of an API's statuses, beside those that a file server needs.
import { Span, text } from "../../kernel/api";
import { reason } from "../http/response";

export function phraseOf(status: u32): Span {
  switch (status) {
    case 201: return text("Created");
    case 202: return text("Accepted");
    case 204: return text("No Content");
    case 302: return text("Found");
    case 303: return text("See Other");
    case 307: return text("Temporary Redirect");
    case 308: return text("Permanent Redirect");
    case 401: return text("Unauthorized");
    case 409: return text("Conflict");
    case 410: return text("Gone");
    case 411: return text("Length Required");
    case 412: return text("Precondition Failed");
    case 413: return text("Content Too Large");
    case 415: return text("Unsupported Media Type");
    case 417: return text("Expectation Failed");
    case 418: return text("I'm a teapot");
    case 422: return text("Unprocessable Content");
    case 429: return text("Too Many Requests");
    case 502: return text("Bad Gateway");
    case 504: return text("Gateway Timeout");
    case 200: case 206: case 301: case 304: case 400: case 403: case 404: case 405: case 408:
    case 414: case 416: case 431: case 500: case 501: case 503: case 505: case 507:
      return reason(status);
    default: return text("");
  }
}
