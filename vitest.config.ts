import { defineConfig } from "vitest/config";

// Three sizes: npm run test:quick, npm test, npm run test:full.
const QUICK = ["test/host/*.test.ts", "test/devices/**/*.test.ts", "test/kernel/unit.test.ts"];
const STYLE = ["tidy", "rules", "layers", "docs"].map((name) => `test/system/${name}.test.ts`);
/** Real sockets, or many rounds. */
const SLOW = [
  "test/host/turn-work.test.ts",
  "test/devices/vsock/{messages,capture,*-real}.test.ts",
];
/** Minutes of rounds, of npm, of the compiler or of servers: together as long as all the others. */
const LONG = [
  "test/system/{endurance,appliance,embedding,runtimes,package}.test.ts",
  "test/system/{deploy,extending,fs-crash,trace}.test.ts",
  "test/system/{tcp-linux,dhcp,udp,user-network,network-page}.test.ts",
  "test/tools/{new,build,compile,dev,test}.test.ts",
  "test/kernel/files/differential.test.ts",
  "test/host/{browser-bundle,turn-work}.test.ts",
  "test/{browser,web}/*.test.ts",
  "test/snapshot/rewind.test.ts",
  "test/library/{readme,request-fuzz}.test.ts",
  "test/host/cli/{replicas,admin,access-log,check,few-descriptors,manager}.test.ts",
  "test/host/cli/{arguments-and-exits,inspect,restart,snapshots,stops-in-kicks}.test.ts",
  "test/host/cli/{capture,crowd,drain,reload}.test.ts",
  "test/system/{end-to-end,tcp-tshark,operating,net-copies}.test.ts",
  "test/apps/web-server/{cache,smuggling,slow,site/missing}.test.ts",
  "test/snapshot/{hostile,file-format}.test.ts",
  "test/devices/vsock/hosts-real.test.ts",
  "test/devices/net/{fuzz,user/hostile}.test.ts",
  "test/devices/vsock/messages.test.ts",
];

const sizes = {
  quick: { include: [...QUICK, ...STYLE], exclude: SLOW },
  usual: { include: ["test/**/*.test.ts"], exclude: LONG },
  full: { include: ["test/**/*.test.ts"], exclude: [] },
};
const size = (process.env.TORITO_TEST ?? "usual") as keyof typeof sizes;

// test/guest is AssemblyScript: test/kernel/unit.test.ts compiles and runs it.
export default defineConfig({
  test: {
    ...sizes[size],
    maxWorkers: "100%", // many tests wait for other programs
    globalSetup: ["test/support/coverage.ts"],
    // Ends what hangs. Machines are slow at times, and no test is about time.
    testTimeout: 180_000,
    hookTimeout: 300_000,
    coverage: { include: ["host/**/*.ts"], reporter: ["text"], reportsDirectory: "coverage/host" },
  },
});
