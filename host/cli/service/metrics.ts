// The metrics of a service. A scrape reads counters and never enters the guest.
import { readdirSync } from "node:fs";
import { AccessReason } from "../../../abi/access-log.ts";
import { COUNTERS_MAX } from "../../../abi/counters.ts";
import type { AppCounter } from "../../counters.ts";
import { packageVersion } from "../../node/package.ts";
import { descriptorsMax } from "../../node/sockets/descriptors.ts";
import { reasonName } from "../../service/access-line.ts";
import { Metrics, type MetricsFormat, type Sample } from "../../service/metrics.ts";
import { DURATIONS_S } from "../../service/request-counters.ts";
import { TURNS_S } from "../../service/turn-meter.ts";
import type { ReloadState } from "./reload.ts";
import { LAG_QUANTILES, type ServiceReport } from "./report.ts";

const one = (value: number): Sample[] => [[{}, value]];
const by = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => [{ [label]: key }, value]);

/** By the names of reasons, without the first, which is none. */
const reasons = (counts: readonly number[]): Record<string, number> =>
  Object.fromEntries(
    counts.map((count, reason) => [reasonName(reason), count]).slice(AccessReason.Gone),
  );

/** Whatever a guest answers, or asks for, and whatever devices it has: no more series of these. */
const REQUEST_SERIES_MAX = 48;
const FUSE_SERIES_MAX = 48;
const QUEUES_MAX = 24;
const DEVICES_MAX = 8;
const PATHS_MAX = 12;

/** The most frequent ones, and the sum of the others as `other`. */
function mostOf(
  values: Readonly<Record<string, number>>,
  most: number,
  other = "other other",
): [string, number][] {
  const all = Object.entries(values);
  if (all.length <= most) return all;
  all.sort(([, a], [, b]) => b - a);
  const rest = all.splice(most - 1).reduce((sum, [, value]) => sum + value, 0);
  return [...all, [other, rest]];
}

export function metricsText(
  report: ServiceReport,
  reload: ReloadState,
  format: MetricsFormat,
): string {
  const out = new Metrics(format);
  const { sockets } = report;
  const build = { version: packageVersion(), node: process.versions.node, sockets };
  out.gauge("torito_build_info", "Version of the program and its engine.", [[build, 1]]);
  putRequests(out, report);
  putConnections(out, report);
  putGuest(out, report);
  putDevices(out, report);
  putCard(out, report);
  putHost(out, report, reload);
  putApplication(out, report);
  return out.toString();
}

function putRequests(out: Metrics, { counts }: ServiceReport): void {
  const { answered, durations, bodyBytes, aborted, cut } = counts.requests;
  const all = mostOf(Object.fromEntries(answered), REQUEST_SERIES_MAX);
  const codes = all.map(([key, count]): Sample => {
    const [code = "", method = ""] = key.split(" ");
    return [{ code, method }, count];
  });
  out.counter("torito_http_requests_total", "Requests that were answered.", codes);
  out.histogram(
    "torito_http_request_duration_seconds",
    "From the end of a request's head to the end of its response.",
    { bounds: DURATIONS_S, ...durations },
  );
  const bytes = one(bodyBytes);
  out.counter("torito_http_response_bytes_total", "Bytes of bodies of responses.", bytes);
  const lost = by("reason", { ...reasons(aborted), drain: counts.totals.late });
  out.counter("torito_http_aborted_total", "Responses and requests that were not done.", lost);
  const given = by("reason", reasons(cut));
  out.counter("torito_http_connections_cut_total", "Connections that the guest gave up.", given);
  const dropped = one(counts.dropped);
  out.counter("torito_access_log_dropped_total", "Requests without a line in the log.", dropped);
}

function putConnections(out: Metrics, { counts, gauges }: ServiceReport): void {
  const { accepted, refused } = counts.totals;
  const { open, waiting, most } = gauges;
  out.gauge("torito_connections", "Connections of clients.", by("state", { open, waiting }));
  out.gauge("torito_connections_max", "Connections that may be open.", one(most));
  out.counter("torito_connections_accepted_total", "Clients that were let in.", one(accepted));
  const all = by("reason", { ...refused, waiting: counts.turnedAway });
  out.counter("torito_connections_refused_total", "Clients that were turned away.", all);
}

function putGuest(out: Metrics, { counts, gauges, machines }: ServiceReport): void {
  const { restarts, totals, turns } = counts;
  out.counter("torito_machine_restarts_total", "Machines that were replaced.", one(restarts));
  out.gauge("torito_replicas", "Machines of the service.", by("state", { ...machines }));
  const { threads, heapBytes, heapInUse } = gauges;
  const heap = by("state", { used: heapInUse, free: Math.max(0, heapBytes - heapInUse) });
  out.gauge("torito_guest_heap_bytes", "Heap of the guest.", heap);
  out.gauge("torito_guest_threads", "Threads of the guest.", one(threads));
  out.counter("torito_guest_faults_total", "Threads that threw.", one(totals.faults));
  if (turns === null) return;
  const entries = turns.counts.reduce((total, count) => total + count, turns.above);
  out.counter("torito_guest_turns_total", "Entries into the guest.", one(entries));
  const help = "Time that the guest ran when it was entered.";
  out.histogram("torito_guest_turn_seconds", help, { bounds: TURNS_S, ...turns });
}

/**
 * Numbers of applications, unless the name is one of ours. Guests choose the names, so those that
 * came first are shown, and no more than one guest may have.
 */
function putApplication(out: Metrics, { counts, gauges }: ServiceReport): void {
  const shown = [...counts.totals.application.values()].slice(0, COUNTERS_MAX);
  const most = COUNTERS_MAX - shown.length;
  const families = new Map<string, AppCounter[]>();
  for (const one of [...shown, ...[...gauges.application.values()].slice(0, most)]) {
    families.set(one.name, [...(families.get(one.name) ?? []), one]);
  }
  for (const [name, [first, ...others]] of families) {
    if (first === undefined || out.has(`torito_${name}`)) continue;
    const alike = others.filter(({ label }) => label?.name === first.label?.name);
    const samples = [first, ...alike].map(
      ({ label, value }): Sample => [label === null ? {} : { [label.name]: label.value }, value],
    );
    out[first.kind](`torito_${name}`, first.help, samples);
  }
}

function putDevices(out: Metrics, { counts }: ServiceReport): void {
  const { fsAnswers, fsBytes, copied, carried, kicks, interrupts } = counts.totals;
  const rung = mostOf(kicks, QUEUES_MAX, "other/other").map(([key, count]): Sample => {
    const [device = "", queue = ""] = key.split("/");
    return [{ device, queue }, count];
  });
  out.counter("torito_virtqueue_kicks_total", "Kicks of the guest's drivers.", rung);
  const raised = by("device", Object.fromEntries(mostOf(interrupts, DEVICES_MAX, "other")));
  out.counter("torito_virtqueue_interrupts_total", "Interrupts of devices.", raised);
  const answers = mostOf(fsAnswers, FUSE_SERIES_MAX).map(([key, count]): Sample => {
    const [op = "", error = ""] = key.split(" ");
    return [{ op, error }, count];
  });
  out.counter("torito_fuse_requests_total", "Requests of the guest for files.", answers);
  const bytes = by("direction", fsBytes);
  out.counter("torito_fuse_bytes_total", "Bytes of files that were read and written.", bytes);
  const network = by("direction", carried);
  out.counter("torito_network_bytes_total", "Payload of connections.", network);
  const paths = mostOf(copied, PATHS_MAX, "other/other/other").map(([key, count]): Sample => {
    const [device = "", direction = "", path = ""] = key.split("/");
    return [{ device, direction, path }, count];
  });
  out.counter("torito_copied_bytes_total", "Payload that the host has copied.", paths);
}

/** Frames of the card, and what becomes of them in a network of this process. */
function putCard(out: Metrics, { counts, gauges }: ServiceReport): void {
  const { card, network } = counts.totals;
  const counter = (name: string, help: string, label: string, values: Record<string, number>) =>
    out.counter(`torito_${name}_total`, help, by(label, values));
  if (card === null) return;
  counter("net_frames", "Frames of the card.", "direction", { ...card.frames });
  counter("net_bytes", "Bytes of these frames.", "direction", { ...card.bytes });
  counter("net_dropped", "Frames that the card has dropped.", "reason", { ...card.dropped });
  if (network === null) return;
  const { connections, segments, datagrams, refused, ended, dropped } = network;
  const flows = by("protocol", { ...gauges.flows });
  out.gauge("torito_user_net_flows", "Connections and UDP flows of the user network.", flows);
  const begun = "Connections of the user network, by who began them.";
  counter("user_net_connections", begun, "direction", { ...connections });
  const help = "Connections of the user network that were not made.";
  counter("user_net_refused", help, "reason", { ...refused });
  counter("user_net_ended", "Connections that were broken off.", "reason", { ...ended });
  counter("user_net_segments", "TCP segments to the guest.", "kind", { ...segments });
  counter("user_net_datagrams", "UDP datagrams.", "direction", { ...datagrams });
  const lost = "Frames that the user network has dropped.";
  counter("user_net_dropped", lost, "reason", { ...dropped });
}

function putHost(out: Metrics, report: ServiceReport, reload: ReloadState): void {
  const success = one(reload.successful ? 1 : 0);
  out.gauge("torito_config_last_reload_successful", "Did the last reload take effect?", success);
  const name = "torito_config_last_reload_success_timestamp_seconds";
  out.gauge(name, "When settings have last taken effect.", one(reload.successMs / 1000));
  out.gauge("torito_draining", "Is the service about to end?", one(report.isRetired ? 1 : 0));
  const quantiles = LAG_QUANTILES.map((q, i) => [q, report.lags[i] ?? Number.NaN] as const);
  const { sum, count } = report.counts.lag;
  const help = "Delay of timers of the event loop.";
  out.summary("torito_event_loop_lag_seconds", help, quantiles, sum, count);
  const { user, system } = process.cpuUsage();
  out.counter("process_cpu_seconds_total", "CPU time.", one((user + system) / 1e6));
  const rss = process.memoryUsage.rss(); // without the heap's figures, which take longer
  out.gauge("process_resident_memory_bytes", "Resident memory.", one(rss));
  out.gauge("process_open_fds", "Open file descriptors.", one(descriptorsOpen()));
  out.gauge("process_max_fds", "File descriptors that may be open.", one(descriptorsMax()));
  const begun = Date.now() / 1000 - process.uptime();
  out.gauge("process_start_time_seconds", "Start of the process since 1970.", one(begun));
}

function descriptorsOpen(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return Number.NaN;
  }
}
