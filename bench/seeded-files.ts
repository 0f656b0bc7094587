import { createHash } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FilePut } from '../src/client/file-transfers.ts'
import { seededBytes } from '../src/testing/seeded-random.ts'

const mib = 1024 * 1024

/** Bytes that differ for each seed, incompressible and the same in each run. */
function bytesOf(seed: string, count: number): Uint8Array {
  return seededBytes(createHash('sha256').update(seed).digest().readInt32LE(), count)
}

/** Writes `count` files of 1 KiB, spread evenly over directories. */
export async function writeSmallFiles(
  directory: string,
  { count, directories, seed }: { count: number; directories: number; seed: number },
): Promise<void> {
  for (let index = 0; index < directories; index += 1) {
    await mkdir(join(directory, `d${index}`), { recursive: true })
  }
  for (let index = 0; index < count; index += 1) {
    const path = join(directory, `d${index % directories}`, `f${index}`)
    await writeFile(path, bytesOf(`${seed}/${index}`, 1024))
  }
}

export async function writeLargeFile(path: string, sizeMib: number, seed: number): Promise<void> {
  await using file = await open(path, 'w')
  for (let part = 0; part < sizeMib; part += 1) await file.write(bytesOf(`${seed}/${part}`, mib))
  await file.sync()
}

/** `count` small files for a bulk upload, of 100 bytes, in `directory` itself. */
export function* smallChanges(directory: string, count: number, seed: number): Generator<FilePut> {
  for (let index = 0; index < count; index += 1) {
    const path = `${directory}/${String(index).padStart(7, '0')}`
    yield { path, bytes: bytesOf(`${seed}/${index}`, 100), overwrite: true }
  }
}
