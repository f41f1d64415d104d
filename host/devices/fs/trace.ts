// The requests of a virtio-fs device, each as a slice on its track of the machine's trace.
import { FuseInHeader } from "../../../abi/fuse.ts";
import type { DeviceTrace } from "../../device.ts";
import { fuseName } from "../../operation-names.ts";
import type { FuseRequest } from "./request.ts";

/** A request that is about to be answered with `result`: bytes of reply, or -Errno. */
export function traceRequest(
  trace: DeviceTrace,
  sinceNs: number,
  request: FuseRequest,
  result: number,
): void {
  const { opcode, nodeid, bytes } = request;
  trace.slice(
    fuseName(opcode),
    sinceNs,
    {
      nodeid,
      len: bytes,
      reply: Math.max(result, 0),
      error: Math.min(result, 0),
    },
    trace.present(),
  );
}

/** As in "LOOKUP of node 1"; "": it is too short for a header. Names of files are not shown. */
export function describeRequest(head: DataView): string {
  if (head.byteLength < FuseInHeader.sizeof) return "";
  const name = fuseName(head.getUint32(FuseInHeader.opcode, true));
  return `${name} of node ${head.getBigUint64(FuseInHeader.nodeid, true)}`;
}
