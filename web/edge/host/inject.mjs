export { __fetch, __loc, __WA } from "./shim.mjs";
