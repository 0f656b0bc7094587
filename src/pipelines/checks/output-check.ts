import { equalBytes } from '../../base/bytes.ts'
import type { FilePath } from '../../base/paths.ts'
import { contentSizeBytes } from '../../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEntry } from '../../storage/file-trees.ts'
import type { MapRoot, ProllyMaps } from '../../storage/prolly-map.ts'
import { decodeTreeEntry } from '../../storage/tree-entries.ts'
import { pathOfContribution } from '../outputs/contributions.ts'

export interface OutputCheckPorts {
  readonly maps: ProllyMaps
  readonly trees: FileTrees
}

/** A file of an output: of one datum as it was written, of several the sum of their bytes. */
interface OutputFile {
  readonly path: FilePath
  readonly sizeBytes: number
  readonly only: TreeEntry | undefined
}

/**
 * Where a job's output tree is not what its datums wrote: paths, sizes, and contents but for files
 * that several datums wrote together. Reads both in the order of paths; undefined where they agree.
 *
 * @throws {DataLossError} when something cannot be read.
 */
export async function outputDifference(
  { maps, trees }: OutputCheckPorts,
  contributions: MapRoot,
  tree: DirectoryEntry,
): Promise<string | undefined> {
  const written = writtenFiles(maps, contributions)
  try {
    for await (const { path, entry } of trees.walk(tree)) {
      if (entry.kind !== 'file') continue
      const step = await written.next()
      if (step.done === true) return `holds ${path}, which no datum wrote`
      const { value: file } = step
      if (file.path !== path)
        return `holds ${path} where the next file that was written is ${file.path}`
      const sizeBytes = contentSizeBytes(entry.content)
      if (sizeBytes !== file.sizeBytes) {
        return `holds ${path} with ${sizeBytes} bytes, of which ${file.sizeBytes} were written`
      }
      const { only } = file
      if (only !== undefined && !equalBytes(trees.entryHash(only), trees.entryHash(entry))) {
        return `holds ${path} with another content than was written`
      }
    }
    const rest = await written.next()
    return rest.done === true ? undefined : `lacks ${rest.value.path}, which was written`
  } finally {
    await written.return(undefined)
  }
}

async function* writtenFiles(maps: ProllyMaps, root: MapRoot): AsyncGenerator<OutputFile> {
  let file: OutputFile | undefined
  for await (const { key, value } of maps.scan(root)) {
    const entry = decodeTreeEntry(value)
    if (entry.kind !== 'file') continue
    const path = pathOfContribution(key)
    const sizeBytes = contentSizeBytes(entry.content)
    if (file?.path === path) {
      file = { path, sizeBytes: file.sizeBytes + sizeBytes, only: undefined }
      continue
    }
    if (file !== undefined) yield file
    file = { path, sizeBytes, only: entry }
  }
  if (file !== undefined) yield file
}
