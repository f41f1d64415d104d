// The library for applications: "torito/guest". The kernel's calls are in "torito/kernel/api".
export { text, Span, span, spanAddress, spanBytes } from "../kernel/api";
export { print, printNumber } from "../kernel/api";
export { BeginThread, Sleep, SysThreadSwitch } from "../kernel/api";
export { parameterIs, parameterNumber, parameterText } from "../kernel/api";
export { failed, serveForever } from "./server";
