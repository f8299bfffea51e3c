// Run checks.py in CPython on Emscripten and print its report; the last line is JSON.
// usage: node pyodide.mjs SOURCE_FOLDER CHECKS_FOLDER WORK_FOLDER
import { loadPyodide } from "pyodide";

const [source, checks, work] = process.argv.slice(2);
const python = await loadPyodide({ env: { HOME: "/home", OAG_WASM: "值 🎈" } });
python.mountNodeFS("/source", source);
python.mountNodeFS("/checks", checks);
python.mountNodeFS("/host", work);
python.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/source", "/checks"]
import checks
print(checks.report("emscripten", folders=["/tmp", "/host"]))
`);
