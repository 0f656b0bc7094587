import type { Clock } from '../../base/clock.ts'
import { OperationError } from '../errors.ts'
import type { Access, Range } from '../fuse/requests.ts'
import type { Node, Nodes } from '../tree/nodes.ts'
import type { ServerCalls } from '../tree/server-calls.ts'
import type { Tree } from '../tree/tree.ts'
import { FileReader } from './file-reader.ts'
import { FileWriter } from './file-writer.ts'
import { SegmentBudget } from './segments.ts'

/** How old the size of a file that may change can be. */
const sizeMsMax = 1000

interface OpenFile {
  readonly node: Node
  readonly writer: FileWriter | undefined
  reader: FileReader
  sizeBytes: number
  /** On the monotonic clock. */
  sizeUntilMs: number
}

export interface OpenFilesParts {
  readonly tree: Tree
  readonly nodes: Nodes
  readonly calls: ServerCalls
  readonly clock: Clock
}

/** Files that programs have open. */
export class OpenFiles {
  readonly #parts: OpenFilesParts
  readonly #budget = new SegmentBudget()
  readonly #files = new Map<number, OpenFile>()
  #lastHandle = 0

  constructor(parts: OpenFilesParts) {
    this.#parts = parts
  }

  async open(node: Node, access: Access): Promise<number> {
    if (node.version !== undefined) {
      if (access.writes) await this.#requireVersion(node)
      return this.#add(node, { writer: undefined, sizeBytes: node.version.sizeBytes })
    }
    if (!access.writes) {
      const sizeBytes = node.writer?.sizeBytes ?? (await this.#parts.tree.openEntry(node)).sizeBytes
      return this.#add(node, { writer: undefined, sizeBytes })
    }
    await this.#parts.tree.openPlace(node)
    const writer = await this.#writer(node, access.truncates)
    return this.#add(node, { writer, sizeBytes: writer.sizeBytes })
  }

  /** A new file, or one that is to be replaced. */
  create(node: Node): number {
    node.writer?.discard()
    const writer = this.#newWriter(node, undefined)
    return this.#add(node, { writer, sizeBytes: 0 })
  }

  async read(handle: number, { offset, size }: Range): Promise<readonly Uint8Array[]> {
    const file = this.#file(handle)
    if (file.node.version === undefined) await this.#refresh(file)
    return file.reader.read(offset, size, file.sizeBytes)
  }

  async write(handle: number, offset: number, bytes: Uint8Array): Promise<void> {
    const { writer } = this.#file(handle)
    if (writer === undefined) throw new OperationError('EBADF', 'not opened for writing')
    await writer.write(offset, bytes)
  }

  async flush(handle: number): Promise<void> {
    await this.#file(handle).writer?.flush()
  }

  release(handle: number): void {
    const file = this.#files.get(handle)
    if (file === undefined) return
    this.#files.delete(handle)
    file.reader.close()
    const { node, writer } = file
    if (writer !== undefined && !this.#isWritten(writer)) {
      writer.close()
      if (node.writer === writer) node.writer = undefined
    }
    this.#parts.nodes.closed(node)
  }

  /** Makes a file that may be open as long as `sizeBytes`. @throws {OperationError} EOPNOTSUPP. */
  async resize(node: Node, sizeBytes: number): Promise<void> {
    if (node.version !== undefined) await this.#requireVersion(node)
    await this.#parts.tree.openPlace(node)
    const current = node.writer?.sizeBytes ?? (await this.#parts.tree.openEntry(node)).sizeBytes
    if (sizeBytes === current && node.writer === undefined) return
    if (sizeBytes === current) return
    if (sizeBytes !== 0) throw new OperationError('EOPNOTSUPP', 'files can only be emptied')
    const isOpen = node.writer !== undefined
    const writer = await this.#writer(node, true)
    if (isOpen) return
    try {
      await writer.flush()
    } finally {
      writer.close()
      if (node.writer === writer) node.writer = undefined
    }
  }

  /** A version is never written to; told that it is out of date, the kernel looks its name up again. */
  async #requireVersion(node: Node): Promise<never> {
    await this.#parts.tree.openPlace(node)
    throw new OperationError('ESTALE', 'a commit was started')
  }

  async #writer(node: Node, truncates: boolean): Promise<FileWriter> {
    const known = node.writer
    if (known === undefined || known.hasFailed) {
      if (truncates) return this.#newWriter(node, undefined)
      const { sizeBytes } = await this.#parts.tree.openEntry(node)
      // Somebody may have been faster.
      if (node.writer !== undefined && !node.writer.hasFailed) return node.writer
      return this.#newWriter(node, sizeBytes)
    }
    if (truncates) {
      await known.flush()
      known.truncate()
    }
    return known
  }

  #newWriter(node: Node, sizeBytes: number | undefined): FileWriter {
    const { tree, calls, clock } = this.#parts
    const writer = new FileWriter(
      async (bytes, options) => {
        const { commit, path } = await tree.openPlace(node)
        await calls.put({ commit, path }, bytes, options)
      },
      clock,
      sizeBytes,
    )
    node.writer = writer
    return writer
  }

  /** Reads see what was written, and what others have put. */
  async #refresh(file: OpenFile): Promise<void> {
    const { node } = file
    const now = this.#parts.clock.monotonicMs()
    const { writer } = node
    if (writer?.isDirty === true) await writer.flush()
    else if (now < file.sizeUntilMs && writer === undefined) return
    const sizeBytes = writer?.sizeBytes ?? (await this.#parts.tree.openEntry(node)).sizeBytes
    file.sizeUntilMs = now + sizeMsMax
    if (sizeBytes === file.sizeBytes) return
    file.sizeBytes = sizeBytes
    file.reader.close()
    file.reader = this.#newReader(node)
  }

  #add(node: Node, facts: Pick<OpenFile, 'writer' | 'sizeBytes'>): number {
    this.#lastHandle += 1
    node.openCount += 1
    const sizeUntilMs = this.#parts.clock.monotonicMs() + sizeMsMax
    this.#files.set(this.#lastHandle, {
      node,
      reader: this.#newReader(node),
      sizeUntilMs,
      ...facts,
    })
    return this.#lastHandle
  }

  #newReader(node: Node): FileReader {
    const { tree, calls } = this.#parts
    async function* read(offset: number, size: number): AsyncGenerator<Uint8Array> {
      yield* calls.read(await tree.fileRef(node), { offset, size })
    }
    return new FileReader(read, this.#budget)
  }

  #isWritten(writer: FileWriter): boolean {
    return this.#files.values().some((file) => file.writer === writer)
  }

  #file(handle: number): OpenFile {
    const file = this.#files.get(handle)
    if (file === undefined) throw new OperationError('EBADF', 'no such open file')
    return file
  }
}
