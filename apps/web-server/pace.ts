// Responses that wait for their clients must move, or they are given up: on average LEAST_RATE over
// each interval, but for the first one, which is grace. Progress is whatever the peer has consumed,
// be it a byte. The thread that looks at it sleeps while no response waits.
import { NetStats } from "../../drivers/abi/stats";
import { nowNs, NS_PER_S } from "../../kernel/clock";
import { SysSocketStat } from "../../kernel/net/calls";
import { SIOCOUTQ, SysSocketGetOption } from "../../kernel/net/options";
import { BeginThread, Sleep, SysResumeThread, SysSuspendThread } from "../../kernel/process";
import {
  Connection,
  cut,
  enter,
  firstConnection,
  nextConnection,
  NO_CONNECTION,
  Phase,
} from "./connections";
import { Event } from "./events";

const LEAST_RATE: u64 = 240; // bytes a second
const INTERVAL_S: u64 = 10;
const LOOK_MS: u32 = 1000;

const stats: usize = memory.data(NetStats.sizeof);
let looker: i32 = 0;
let paced: u32 = 0; // responses that wait

/** Starts the thread that looks. Returns 0 or an error. */
export function paceInit(): i32 {
  looker = BeginThread(look, 0, 0);
  return min(looker, 0);
}

/** The response goes at its client's pace from here on, until endPace(). */
export function beginPace(c: Connection): void {
  enter(c, Phase.Sending);
  c.paceNs = c.sinceNs;
  c.paceTaken = takenBy(c);
  c.taken = c.paceTaken;
  c.grace = true;
  if (paced++ == 0) SysResumeThread(looker);
}

export function endPace(c: Connection): void {
  paced--;
  enter(c, Phase.Answering);
}

/** Bytes that the peer has consumed since it connected. */
function takenBy(c: Connection): u64 {
  SysSocketStat(c.socket, stats);
  return load<u64>(stats, NetStats.sent) - SysSocketGetOption(c.socket, SIOCOUTQ);
}

function look(_: usize): void {
  while (true) {
    if (paced == 0) SysSuspendThread(0);
    Sleep(LOOK_MS);
    for (let c = firstConnection(); c != NO_CONNECTION; c = nextConnection(c)) {
      if (c.phase == Phase.Sending) check(c);
    }
  }
}

function check(c: Connection): void {
  const now = nowNs();
  const taken = takenBy(c);
  if (taken != c.taken) c.sinceNs = now;
  c.taken = taken;
  if (now - c.paceNs < INTERVAL_S * NS_PER_S) return;
  if (!c.grace && taken - c.paceTaken < LEAST_RATE * INTERVAL_S) {
    cut(c, Event.CutSlow);
    return;
  }
  c.grace = false;
  c.paceNs = now;
  c.paceTaken = taken;
}
