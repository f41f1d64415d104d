// A process of the host that swaps `directory`/dir for a symbolic link to `outside`, and
// `directory`/file for one to a file there, as fast as it can, until its standard input ends.
import * as fs from "node:fs";

const [directory, outside] = process.argv.slice(2);
process.chdir(directory);
let swaps = 0;
let ended = false;
process.stdin.on("end", () => {
  ended = true;
});
process.stdin.resume();

function swap() {
  for (let i = 0; i < 200; i++) {
    fs.renameSync("dir", "dir.kept");
    fs.symlinkSync(outside, "dir");
    fs.renameSync("file", "file.kept");
    fs.symlinkSync(`${outside}/secret`, "file");
    fs.unlinkSync("dir");
    fs.renameSync("dir.kept", "dir");
    fs.unlinkSync("file");
    fs.renameSync("file.kept", "file");
    swaps++;
  }
  if (ended) process.stdout.write(`${swaps}\n`);
  else setImmediate(swap);
}

process.stdout.write("swapping\n");
swap();
