export { architectureOf, type GgufArchitecture } from './architecture.js'
export { exportGguf, type ExportOptions, type ExportReport } from './export.js'
export { type GgufType } from './format.js'
export { ggufTokenizer, placeholderTokenizer, type GgufTokenizer } from './tokenizer.js'
