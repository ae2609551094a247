const layer = (name) => ({
  input: `${name}.json`,
  output: {
    target: `orval/${name}.ts`,
    client: "fetch",
    override: { mutator: { path: "orval_fetch.ts", name: name === "central" ? "sendCentral" : "sendWorkspace" } },
  },
});

module.exports = { central: layer("central"), workspace: layer("workspace") };
