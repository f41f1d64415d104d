// A device that was given up, since it broke the rules or has asked for a reset, is brought up
// again by the next call that needs it. Mounts stay; open files are lost with the session
// (-ESTALE), and what was stored into mappings, as in a crash of the server.
import { fsRestart } from "../../drivers/fs";
import { FsDriver } from "../../drivers/fs/driver";
import { giveUp, tell } from "../../drivers/fs/replies";
import { acquireRequest, releaseRequest } from "../../drivers/fs/requests";
import { NEVER, nowNs } from "../clock";
import { wait, wakeSome } from "../scheduler";
import { renewSession, Session } from "./node";
import { startSession } from "./session";
import { NO_WINDOW, renewWindow, Window } from "./window";

/** Makes sure that the session's device is there, if it can be. Yields; the caller is shielded. */
export function reviveDevice(session: Session): void {
  const driver = session.driver;
  while (driver.restarting) wait(driver.space, NEVER);
  if (!driver.device.failed || nowNs() < driver.restartNs || !session.started) return;
  driver.restarting = true;
  restart(driver, session);
  driver.restarting = false;
  wakeSome(driver.space, u32.MAX_VALUE);
}

function restart(driver: FsDriver, session: Session): void {
  if (!renewSession(session)) return;
  const window = changetype<Window>(session.window);
  if (window != NO_WINDOW) renewWindow(window);
  if (fsRestart(driver) < 0) return giveUp(driver);
  const request = acquireRequest(driver);
  if (!request) return giveUp(driver);
  const status = startSession(request, session);
  releaseRequest(request);
  if (status < 0) giveUp(driver);
  else tell(driver, "is back; files that were open are not\n");
}
