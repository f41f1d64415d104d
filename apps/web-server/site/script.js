// What the pages can do beyond being read. Every page is whole without it.

/** Asks for this very page again, without its body, and shows the head of the answer. */
async function showAnswer(place) {
  const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" });
  const list = document.createElement("dl");
  const status = `${answer.status} ${answer.statusText}`;
  for (const [name, value] of [["status", status], ...answer.headers]) {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    list.append(term, text);
  }
  place.replaceChildren(list);
}

/** A button that walks through the steps of the path, one after the other. */
function makeWalk(path) {
  const STEP_MS = 2600;
  const steps = [...path.children];
  const button = document.createElement("button");
  let at = -1;
  let timer = 0;

  function show(index) {
    steps[at]?.classList.remove("now");
    at = index;
    const step = steps[at];
    path.classList.toggle("playing", step !== undefined);
    button.textContent = step === undefined ? "Follow the request" : "Stop";
    clearTimeout(timer);
    if (step === undefined) {
      at = -1;
      return;
    }
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    step.classList.add("now");
    step.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    timer = setTimeout(() => show(at + 1), STEP_MS);
  }

  button.type = "button";
  button.addEventListener("click", () => show(at < 0 ? 0 : steps.length));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && at >= 0) show(steps.length);
  });
  show(steps.length);
  path.before(button);
}

const answer = document.querySelector(".answer");
if (answer !== null) showAnswer(answer).catch(() => {}); // what stands there stays
const path = document.querySelector(".path");
if (path !== null) makeWalk(path);
