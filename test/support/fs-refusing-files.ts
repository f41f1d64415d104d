// The file calls of this host, which refuses to open files for writing, and to write.
import { FUSE_O_RDWR } from "../../abi/fuse.ts";
import { hostFiles } from "../../host/node/files/host-files.ts";

/** `code` is the error's; "": nothing is refused. */
export function refusingFiles(code: () => string): ReturnType<typeof hostFiles> {
  const refuse = (when: boolean) => {
    if (when && code() !== "") throw Object.assign(new Error("refused"), { code: code() });
  };
  return new Proxy(hostFiles(), {
    get(target, key) {
      if (key === "open") {
        return (inode: number, flags: number) => {
          refuse((flags & FUSE_O_RDWR) !== 0);
          return target.open(inode, flags);
        };
      }
      if (key === "write") refuse(true);
      const value = Reflect.get(target, key) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
