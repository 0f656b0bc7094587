import { readFileSync, writeFileSync } from 'node:fs'
import asc from 'assemblyscript/asc'

const source = new URL('../src/storage/splitter/cut.assembly', import.meta.url)
const target = new URL('../src/storage/splitter/wasm.ts', import.meta.url)

/** What `src/storage/splitter/wasm.ts` must be: the compiled splitter as text. */
export async function compileSplitter(): Promise<string> {
  const compiled: { wasm?: Uint8Array } = {}
  const { error, stderr } = await asc.main(
    ['cut.ts', '--outFile', 'cut.wasm', '-O3', '--runtime', 'stub', '--noAssert', '--importMemory'],
    {
      readFile: (name) => (name === 'cut.ts' ? readFileSync(source, 'utf8') : null),
      writeFile: (name, contents) => {
        if (name === 'cut.wasm' && typeof contents !== 'string') compiled.wasm = contents
      },
      listFiles: () => [],
    },
  )
  if (error !== null || compiled.wasm === undefined) throw new Error(stderr.toString())
  const lines =
    Buffer.from(compiled.wasm)
      .toString('base64')
      .match(/.{1,90}/g) ?? []
  return [
    '// Generated from cut.assembly by `npm run generate`; do not edit.\n',
    '/** The splitter as a WebAssembly module, in base64. */',
    'export const splitterWasm: string = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('')\n",
  ].join('\n')
}

/** Writes the compiled splitter to its place. */
export async function generateSplitter(): Promise<void> {
  writeFileSync(target, await compileSplitter())
}
