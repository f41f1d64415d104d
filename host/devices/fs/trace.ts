// The requests of a virtio-fs device, each as a slice on its track of the machine's trace.
import type { DeviceTrace } from "../../device.ts";
import { opcodeName } from "./opcode-names.ts";
import type { FuseRequest } from "./request.ts";

/** A request that is about to be answered with `result`: bytes of reply, or -Errno. */
export function traceRequest(
  trace: DeviceTrace,
  sinceNs: number,
  request: FuseRequest,
  result: number,
): void {
  const { opcode, nodeid, bytes } = request;
  trace.slice(opcodeName(opcode) ?? `opcode ${opcode}`, sinceNs, {
    nodeid,
    len: bytes,
    reply: Math.max(result, 0),
    error: Math.min(result, 0),
  });
}
