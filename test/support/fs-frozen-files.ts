// The files of this host with the same times for ever, as if all changes were in one tick.
import { hostFiles } from "../../host/node/files/host-files.ts";
import type { FileStat } from "../../host/ports/files.ts";

/** Files whose mtime and ctime are what `timeNs` says, whatever happens to them. */
export function frozenFiles(timeNs: bigint): ReturnType<typeof hostFiles> {
  const files = hostFiles();
  const frozen = (stat: FileStat): FileStat => {
    const { dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atimeNs } = stat;
    const rest = { dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atimeNs };
    return { ...rest, mtimeNs: timeNs, ctimeNs: timeNs };
  };
  const own: Partial<typeof files> = {
    stat: (inode) => frozen(files.stat(inode)),
    peek: (directory, name) => {
      const stat = files.peek(directory, name);
      return stat && frozen(stat);
    },
    hold: (directory, name) => {
      const { inode, stat } = files.hold(directory, name);
      return { inode, stat: frozen(stat) };
    },
  };
  return new Proxy(files, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
}
