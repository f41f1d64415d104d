// WebServer with a window on the kernel's books.
export { boot, interrupt, run } from "../../apps/web-server/main";
export { heapBlocks, heapInUse } from "./books";
export { socketCount } from "../../kernel/net/socket/life";
export { threadCount } from "../../kernel/thread";
export { ToroFreeMem, ToroGetMem } from "../../kernel/memory";
