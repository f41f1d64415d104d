// The inspector as a page of the admin listener.
import { HttpSource } from "./http-source.ts";
import { showInspector } from "./inspector.ts";

const main = document.getElementById("inspector");
if (main !== null) showInspector(main, new HttpSource(new URL("inspect/", document.baseURI)));
