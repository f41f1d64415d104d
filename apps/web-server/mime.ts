// Content types by extension. A leaf.
import { isText } from "./text";

/** The content type of a path. */
export function contentType(path: usize, bytes: u32): string {
  let at = bytes;
  while (at > 0 && load<u8>(path + at - 1) != 0x2e && load<u8>(path + at - 1) != 0x2f) at--;
  if (at == 0 || load<u8>(path + at - 1) == 0x2f) return "application/octet-stream";
  const e = path + at;
  const n = bytes - at;
  switch (n) {
    case 2:
      if (isText(e, n, "js")) return "text/javascript; charset=utf-8";
      if (isText(e, n, "md")) return "text/markdown; charset=utf-8";
      if (isText(e, n, "gz")) return "application/gzip";
      break;
    case 3:
      if (isText(e, n, "htm")) return "text/html; charset=utf-8";
      if (isText(e, n, "css")) return "text/css; charset=utf-8";
      if (isText(e, n, "mjs")) return "text/javascript; charset=utf-8";
      if (isText(e, n, "txt")) return "text/plain; charset=utf-8";
      if (isText(e, n, "png")) return "image/png";
      if (isText(e, n, "jpg")) return "image/jpeg";
      if (isText(e, n, "gif")) return "image/gif";
      if (isText(e, n, "svg")) return "image/svg+xml";
      if (isText(e, n, "ico")) return "image/x-icon";
      if (isText(e, n, "xml")) return "application/xml";
      if (isText(e, n, "pdf")) return "application/pdf";
      if (isText(e, n, "zip")) return "application/zip";
      if (isText(e, n, "mp4")) return "video/mp4";
      if (isText(e, n, "mp3")) return "audio/mpeg";
      if (isText(e, n, "ttf")) return "font/ttf";
      if (isText(e, n, "csv")) return "text/csv; charset=utf-8";
      break;
    case 4:
      if (isText(e, n, "html")) return "text/html; charset=utf-8";
      if (isText(e, n, "json")) return "application/json";
      if (isText(e, n, "jpeg")) return "image/jpeg";
      if (isText(e, n, "webp")) return "image/webp";
      if (isText(e, n, "avif")) return "image/avif";
      if (isText(e, n, "wasm")) return "application/wasm";
      if (isText(e, n, "woff")) return "font/woff";
      if (isText(e, n, "webm")) return "video/webm";
      break;
    case 5:
      if (isText(e, n, "woff2")) return "font/woff2";
      break;
  }
  return "application/octet-stream";
}
