export { connect, indexedDBStore } from "./src/index.js"
