// The control queue of a card (virtio 5.1.6.5): how many pairs of queues are used, and that the
// machine has announced itself. One command at a time; a device that does not answer has failed.
import {
  NetControl,
  VIRTIO_NET_CTRL_ANNOUNCE,
  VIRTIO_NET_CTRL_ANNOUNCE_ACK,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_OK,
} from "../../abi/net";
import { nowNs } from "../../kernel/clock";
import { startTimer, stopTimer } from "../../kernel/timer";
import { NetDriver } from "./driver";

/** A device answers at once, or soon (NW33). */
const PATIENCE_NS: u64 = 1_000_000_000;
const DATA_BYTES: u32 = 2;
const ANSWER: usize = NetControl.data + DATA_BYTES;
/** Of driver.command. */
export const COMMAND_BYTES: usize = ANSWER + 1;
/** No answer of a device (ND8). */
const NO_ANSWER: u8 = 0xff;

/** NetDriver.pending */
const enum Command {
  None,
  SetPairs,
  Acknowledge,
}

/** Asks for all pairs that are set up (NW29). They are used once the device has agreed. */
export function askForPairs(driver: NetDriver): void {
  assert(driver.pending == Command.None, "a command is on its way");
  store<u16>(driver.command, <u16>driver.pairCount, NetControl.data);
  const number = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
  issue(driver, Command.SetPairs, VIRTIO_NET_CTRL_MQ, number, DATA_BYTES);
}

/** Says that the machine has announced itself, now or when the device has answered a command. */
export function acknowledgeAnnouncement(driver: NetDriver): void {
  driver.mustAcknowledge = true;
  goOn(driver);
}

function goOn(driver: NetDriver): void {
  if (driver.pending != Command.None || !driver.mustAcknowledge) return;
  driver.mustAcknowledge = false;
  const number = VIRTIO_NET_CTRL_ANNOUNCE_ACK;
  issue(driver, Command.Acknowledge, VIRTIO_NET_CTRL_ANNOUNCE, number, 0);
}

function issue(driver: NetDriver, command: u32, kind: u32, number: u32, dataBytes: u32): void {
  const control = driver.control;
  const at = driver.command;
  store<u8>(at, <u8>kind, NetControl.class_);
  store<u8>(at, <u8>number, NetControl.command);
  store<u8>(at + ANSWER, NO_ANSWER);
  control.begin(2);
  control.readable(at, NetControl.data + dataBytes);
  control.writable(at + ANSWER, 1);
  control.add(at);
  driver.pending = command;
  startTimer(driver.patience, nowNs() + PATIENCE_NS);
  control.enableInterrupts();
  control.kick();
}

/** Takes the device's answer, if there is one. One that nobody waits for fails the device. */
export function takeAnswer(driver: NetDriver): void {
  if (!driver.device.has(VIRTIO_NET_F_CTRL_VQ) || driver.control.take() == 0) return;
  assert(driver.pending != Command.None, "no command");
  stopTimer(driver.patience);
  const isDone =
    driver.control.usedBytes == 1 && load<u8>(driver.command + ANSWER) == VIRTIO_NET_OK;
  if (isDone && driver.pending == Command.SetPairs) driver.activePairs = driver.pairCount;
  driver.pending = Command.None;
  goOn(driver);
}
