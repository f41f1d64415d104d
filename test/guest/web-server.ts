// WebServer with a window on the kernel's books.
export { main } from "../../apps/web-server/main";
export { heapBlocks, heapInUse } from "./books";
export { socketCount } from "torito/kernel/net/socket/life";
export { threadCount } from "torito/kernel/thread";
export { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
