// Kernel parameters as strings: `name=value` after `--` on the command line.
import { kernelParameter, parameterBytes } from "../kernel/api";
import { decodeUtf8 } from "./utf8";

/** The value of the parameter `name`; "" if it has none, null if it is not there. */
export function parameter(name: string): string | null {
  const at = kernelParameter(name);
  return at == 0 ? null : decodeUtf8(at, parameterBytes(at));
}
