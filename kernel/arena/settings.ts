// How much memory a thread's objects may take.
import { parameterInRange } from "../parameters";
import { setArenaLimit } from "./arena";

const KIB_DEFAULT: u32 = 8 * 1024;
const KIB_MIN: u32 = 16;
const KIB_MAX: u32 = 4 * 1024 * 1024 - 1;

export function arenaSettingsInit(): void {
  setArenaLimit(parameterInRange("arena", KIB_DEFAULT, KIB_MIN, KIB_MAX) << 10);
}
