// The library for applications: "torito/guest". The kernel's calls are in "torito/kernel/api".
export { text, Span, span, spanAddress, spanBytes } from "../kernel/api";
export { print, printNumber } from "../kernel/api";
export { BeginThread, Sleep, SysThreadSwitch } from "../kernel/api";
export { parameterIs, parameterNumber, parameterText } from "../kernel/api";
export { failed, serveForever } from "./server";
export { Bytes } from "./bytes";
export { Writer } from "./writer";
export { Json } from "./json/json";
export { JsonWriter } from "./json/writer";
export { Kind } from "./json/tape";
export { serve } from "./serve/serve";
export { ServeOptions } from "./serve/options";
export { Request } from "./serve/request";
export { Response } from "./serve/response";
export { Router } from "./serve/router";
