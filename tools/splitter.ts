// Compiles the splitter anew, after a change of cut.assembly: tools/node tools/splitter.ts

import { readFileSync, writeFileSync } from 'node:fs'
import { main } from 'assemblyscript/asc'

const source = new URL('../src/storage/splitter/cut.assembly', import.meta.url)
const target = new URL('../src/storage/splitter/wasm.ts', import.meta.url)

/** The WebAssembly module that the source compiles to, in base64. */
export async function compileSplitter(): Promise<string> {
  const compiled: { wasm?: Uint8Array } = {}
  const { error } = await main(
    ['cut.ts', '--outFile', 'cut.wasm', '-O3', '--runtime', 'stub', '--noAssert', '--importMemory'],
    {
      readFile: (name) => (name === 'cut.ts' ? readFileSync(source, 'utf8') : null),
      writeFile: (name, contents) => {
        if (name === 'cut.wasm' && typeof contents !== 'string') compiled.wasm = contents
      },
      listFiles: () => [],
    },
  )
  if (error !== null) throw error
  if (compiled.wasm === undefined) throw new Error('the compiler wrote nothing')
  return Buffer.from(compiled.wasm).toString('base64')
}

function moduleText(wasm: string): string {
  const lines = (wasm.match(/.{1,90}/g) ?? []).map((line) => `  '${line}',\n`)
  return `// Generated from cut.assembly by tools/splitter.ts; do not edit.

/** The splitter as a WebAssembly module, in base64. */
export const splitterWasm: string = [
${lines.join('')}].join('')
`
}

if (import.meta.main) writeFileSync(target, moduleText(await compileSplitter()))
