import type { ByteStream } from '../../base/bytes.ts'
import { joinPath, parseFilePath } from '../../base/paths.ts'
import type { Content } from '../../storage/contents.ts'
import type { DirectoryEntry } from '../../storage/file-trees.ts'
import type { VersioningPorts } from '../ports.ts'
import { checkSplit, pieceName, type Split } from '../splits.ts'
import { RunCollector } from './bulk.ts'
import type { BulkCollector, Collected } from './file-collector.ts'
import { piecesCodec } from './runs.ts'

type Ports = Pick<VersioningPorts, 'chunks' | 'contents' | 'spools' | 'trees'>

/**
 * Splits what is put. The pieces of each put are a directory, numbered from 0; where they go on from is
 * found when the write is applied.
 */
export class SplitCollector implements BulkCollector {
  readonly #ports: Ports
  readonly #split: Split
  readonly #signal: AbortSignal | undefined
  readonly #runs: RunCollector<DirectoryEntry>
  #fileCount = 0
  #sizeBytes = 0

  /** @throws {InvalidArgumentError} for what no stream can be split by. */
  constructor(ports: Ports, split: Split, signal: AbortSignal | undefined) {
    checkSplit(split)
    this.#ports = ports
    this.#split = split
    this.#signal = signal
    this.#runs = new RunCollector(ports.chunks, piecesCodec)
  }

  /** @throws {MalformedInputError} */
  async add(pathText: string, bytes: ByteStream | Uint8Array, overwrite: boolean): Promise<void> {
    this.#runs.requireCollecting()
    const path = parseFilePath(pathText)
    parseFilePath(joinPath(path, pieceName(0))) // which is as long as any
    const source = {
      bytes: bytes instanceof Uint8Array ? ofBytes(bytes) : bytes,
      path: path === '' ? '/' : path,
      signal: this.#signal,
    }
    // Loaded with the first: few servers split what they are given.
    const { piecesOf } = await import('../splitting/pieces.ts')
    const pieces = await this.#ports.trees.directoryOf(piecesOf(this.#ports, source, this.#split))
    if (pieces.fileCount === 0 && !overwrite) return
    await this.#runs.add(path, pieces, overwrite)
    this.#fileCount += pieces.fileCount
    this.#sizeBytes += pieces.sizeBytes
  }

  async addStored(path: string, content: Content, overwrite: boolean): Promise<void> {
    await this.add(path, this.#ports.contents.read(content), overwrite)
  }

  async end(): Promise<Collected> {
    const runs = await this.#runs.end()
    const write = runs.length === 0 ? undefined : ({ kind: 'splits', runs } as const)
    return { write, fileCount: this.#fileCount, sizeBytes: this.#sizeBytes }
  }

  abandon(): void {
    this.#runs.abandon()
  }
}

async function* ofBytes(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
