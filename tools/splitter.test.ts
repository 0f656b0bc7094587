import { expect, test } from 'vitest'
import { splitterWasm } from '../src/storage/splitter/wasm.ts'
import { compileSplitter } from './splitter.ts'

test('the committed splitter is what its source compiles to', async () => {
  expect(await compileSplitter()).toBe(splitterWasm)
})
