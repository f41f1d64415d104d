// The life of a replica in its thread: a service whose ports, log and console the process keeps.
import { parentPort, workerData } from "node:worker_threads";
import { LOG_LEVELS, type Log } from "../../log.ts";
import { sha256 } from "../../node/platform.ts";
import { Snapshot } from "../../node/snapshot.ts";
import { claimed } from "../../node/sockets/shared-port.ts";
import { decodeSnapshot } from "../../snapshot/file.ts";
import type { Inherited } from "../service/inherited.ts";
import { Service } from "../service/service.ts";
import { CliError } from "../usage.ts";
import type { InspectionData } from "./inspection-messages.ts";
import type { Message, ReplicaData, Request, Requests } from "./messages.ts";
import { PostedConsole, PostedLines } from "./posted.ts";

const { command, image, snapshot, presence, areNoted, isRetired, ...data } =
  workerData as ReplicaData;
let { level, compiled } = data; // a machine that is not made yet takes the latest

const post = (message: Message, transfer: ArrayBuffer[] = []): void =>
  parentPort?.postMessage(message, transfer);
const log: Log = (grave, component, message) => {
  if (LOG_LEVELS.indexOf(grave) > LOG_LEVELS.indexOf(level)) return;
  post({ kind: "log", level: grave, component, message });
};
const console = new PostedConsole((text) => post({ kind: "console", text }));
/** One for all settings of the access log: the process knows which file is meant. */
const lines = new PostedLines((batch) => post({ kind: "lines", ...batch }, [batch.bytes.buffer]));

let take: (descriptors: readonly Inherited[]) => void = () => {};
const taken = new Promise<readonly Inherited[]>((resolve) => {
  take = resolve;
});

type Answers = {
  [Name in keyof Requests]: (
    argument: Requests[Name][0],
  ) => Requests[Name][1] | Promise<Requests[Name][1]>;
};

/** Does it, and has nothing to say about it. */
const done =
  <Argument>(work: (argument: Argument) => unknown) =>
  async (argument: Argument): Promise<null> => {
    await work(argument);
    return null;
  };

function answersOf(service: Service): Answers {
  return {
    take: done((descriptors: Requests["take"][0]) =>
      take(descriptors.map(({ fd, claim }) => ({ fd, name: "", claim: () => claimed(claim) }))),
    ),
    retire: done((isFinal: boolean) => service.retire(isFinal)),
    unretire: done(() => service.unretire()),
    drain: done(() => service.drain()),
    reset: () => service.reset(),
    reload: done((next: Requests["reload"][0]) => {
      compiled = next.compiled;
      service.reload(next.command, compiled);
    }),
    level: done((wanted: Requests["level"][0]) => {
      level = wanted;
    }),
    report: () => service.report(),
    live: () => service.isLive(),
    fault: () => service.guestFault(),
    connections: (most) => service.connections(most),
    save: done((path: string) => service.save(path)),
    stop: done(() => service.dispose()),
    printed: done((length: number) => console.printed(length)),
    logged: done((bytes: number) => lines.logged(bytes)),
  };
}

function listen(service: Service): void {
  const answers = answersOf(service) as Record<string, (argument: unknown) => unknown>;
  parentPort?.on("message", async ({ id, name, argument }: Request) => {
    let value: unknown = null;
    let error = "";
    try {
      value = await answers[name]?.(argument);
    } catch (fault) {
      error = (fault as Error).message;
    }
    if (id !== 0) post({ kind: "answer", id, value, error });
    if (name === "stop") process.exit(0);
  });
}

/** Of the service that is about to be made. */
async function inspectionOf(inspection: InspectionData, service: () => Service) {
  const { ReplicaInspection } = await import("./replica-inspection.ts");
  return new ReplicaInspection(inspection, service);
}

async function serve(): Promise<void> {
  const inspection =
    data.inspection === null ? null : await inspectionOf(data.inspection, () => service);
  const service: Service = new Service(command, {
    ...{ image, presence, areNoted, log },
    kicks: inspection?.kicks ?? null,
    snapshot: snapshot === null ? null : Snapshot.of(decodeSnapshot(snapshot, sha256)),
    capture: undefined,
    netCapture: null,
    trace: undefined,
    console: console.write,
    openLog: (path) => (path === null ? null : lines),
    inherited: [],
    shared: {
      replicas: command.replicas,
      get compiled() {
        return compiled;
      },
      descriptors: () => {
        post({ kind: "listens" });
        return taken;
      },
    },
    notify: () => {},
    opened: (bound) => post({ kind: "open", bound }),
  });
  listen(service);
  if (isRetired) service.retire(false);
  const machine = await service.start();
  const exit = await machine.exited;
  const report = service.report();
  await service.dispose();
  inspection?.endTraces();
  post({ kind: "ended", exit, report });
}

/** Ends the thread with the machine. */
export async function live(): Promise<never> {
  try {
    await serve();
  } catch (error) {
    const { message, stack } = error as Error;
    if (error instanceof CliError) post({ kind: "failed", message, code: error.code });
    else post({ kind: "failed", message: stack ?? message, code: null });
  }
  process.exit(0);
}
