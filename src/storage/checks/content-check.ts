import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import { type ListNode, decodeNode, endsAfter, sizeOf } from '../chunk-lists/node.ts'
import { ChunkBits } from '../collecting/chunk-bits.ts'
import type { ChunkId } from '../chunks.ts'
import { type Content, contentSizeBytes, inlineBytesMax } from '../contents.ts'
import { storageFinding } from '../storage-findings.ts'
import type { ChunkLookup } from './chunk-lookup.ts'
import type { DamageLedger } from './ledger.ts'
import { type Where, whereText } from './map-check.ts'

export interface ContentCheckPorts {
  readonly lookup: ChunkLookup
  readonly ledger: DamageLedger
  readonly run: CheckRun
}

/** What is known of a list's node: its level, and whether it may only stand last. */
interface ListSummary {
  readonly level: number
  readonly isOpen: boolean
}

/** Checks that the chunks of contents are there and have the sizes that are told. */
export class ContentCheck {
  readonly #ports: ContentCheckPorts
  readonly #visited = new ChunkBits()

  constructor(ports: ContentCheckPorts) {
    this.#ports = ports
  }

  /** True when it can be read, as far as is known without reading its bytes. */
  async check(content: Content, where: Where): Promise<boolean> {
    if (content.kind === 'inline') return true
    const sizeBytes = contentSizeBytes(content)
    if (sizeBytes <= inlineBytesMax) {
      this.#addForm(where, `a content of ${sizeBytes} bytes is not inline`)
    }
    if (content.kind === 'chunk') return await this.#chunk(content.chunk, sizeBytes, where)
    return (await this.#node(content.root, sizeBytes, where)) !== undefined
  }

  async #chunk(id: ChunkId, sizeBytes: number, where: Where): Promise<boolean> {
    const found = await this.#ports.lookup.find(id)
    if (found === undefined) return false
    const { rawBytes } = found.entry
    if (rawBytes === sizeBytes) return true
    this.#addSize(where, `chunk ${id} has ${rawBytes} bytes, and ${sizeBytes} are said`)
    return false
  }

  /** The node again each time that it is named, since it must have the size that is told there. */
  async #node(id: ChunkId, sizeBytes: number, where: Where): Promise<ListSummary | undefined> {
    const { lookup, run, ledger } = this.#ports
    run.throwIfCancelled()
    const found = await lookup.find(id)
    if (found === undefined) return undefined
    const bytes = await lookup.read(id, found)
    if (bytes === undefined) return undefined
    const isNew = this.#visited.add(found.pack, found.index)
    if (isNew) run.counts.nodes += 1
    try {
      const node = decodeNode(id, bytes)
      const told = sizeOf(node.entries)
      if (told !== sizeBytes) {
        this.#addSize(where, `chunk list ${id} has ${told} bytes, and ${sizeBytes} are said`)
        return undefined
      }
      const isOpenBelow = isNew ? await this.#below(node, where) : false
      if (isOpenBelow === undefined) return undefined
      const last = node.entries.at(-1)
      const isOpen = last === undefined || !endsAfter(node.entries.length, last)
      return { level: node.level, isOpen: isOpen || isOpenBelow }
    } catch (error) {
      if (!(error instanceof DataLossError)) throw error
      const subject = { ...where.subject, chunk: id }
      const what = `chunk list of ${whereText(where)}: ${error.message}`
      ledger.add(`chunk ${id}`, { kind: storageFinding('node-damaged'), subject, what })
      return undefined
    }
  }

  /** Whether the last of the entries is open; undefined when one of them cannot be read. */
  async #below({ level, entries }: ListNode, where: Where): Promise<boolean | undefined> {
    let isOpen = false
    let isWhole = true
    for (const [index, entry] of entries.entries()) {
      const isLast = index === entries.length - 1
      if (!isLast && endsAfter(index + 1, entry)) {
        this.#addForm(where, `a node of its chunk list should end after its entry ${index}`)
      }
      if (level === 0) isWhole = (await this.#chunk(entry.id, entry.sizeBytes, where)) && isWhole
      else {
        const child = await this.#node(entry.id, entry.sizeBytes, where)
        isWhole &&= child !== undefined
        if (child !== undefined && child.level !== level - 1) {
          throw new DataLossError(`its child ${index} has level ${child.level}`)
        }
        if (child?.isOpen === true && !isLast) {
          this.#addForm(where, 'a node of its chunk list ends where none should')
        }
        isOpen = child?.isOpen === true
      }
    }
    return isWhole ? isOpen : undefined
  }

  #addSize(where: Where, what: string): void {
    this.#add('content-size-wrong', where, what)
  }

  #addForm(where: Where, what: string): void {
    if (this.#ports.run.options.full) this.#add('node-not-canonical', where, what)
  }

  #add(kind: 'content-size-wrong' | 'node-not-canonical', where: Where, what: string): void {
    const subject = { ...where.subject, path: where.path }
    const found = { kind: storageFinding(kind), subject, what: `${whereText(where)}: ${what}` }
    this.#ports.ledger.addEntry(`${kind} ${whereText(where)}`, found, whereText(where))
  }
}
