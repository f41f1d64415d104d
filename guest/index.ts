// The library for applications: "torito/guest". The kernel's calls are in "torito/kernel/api".
//
// Strings and objects last until the request is answered, or the scope or thread has ended. What is
// to outlive them, a Table or KeptStrings copies.
export { text, Span, span, spanAddress, spanBytes } from "../kernel/api";
export { print, printNumber } from "../kernel/api";
export { BeginThread, Sleep, SysThreadSwitch } from "../kernel/api";
export { parameterIs, parameterNumber, parameterText } from "../kernel/api";
export { failed, serveForever } from "./server";
export { dateMs, log, nowMs } from "./log";
export { parameter } from "./parameters";
export { scope } from "./scope";
export { Bytes } from "./bytes";
export { Writer } from "./writer";
export { LineReader } from "./lines";
export { KeptStrings } from "./kept";
export { Table } from "./table";
export { Json } from "./json/json";
export { JsonWriter } from "./json/writer";
export { Kind } from "./json/tape";
export { serve } from "./serve/serve";
export { ServeOptions } from "./serve/options";
export { Request } from "./serve/request";
export { Response } from "./serve/response";
export { Router } from "./serve/router";
