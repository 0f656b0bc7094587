import { open, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

export type FreeBytes = (directory: string) => Promise<number>

async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** Of what room is left, a part like this is not taken back: a small deletion needs no more. */
const spareParts = 16

/**
 * A file beside the database that only takes room, so that there is some for what makes room when
 * the disk is full otherwise. It is made when the disk has room for it and as much again.
 */
export class DiskReserve {
  readonly #path: string
  readonly #sizeBytes: number
  readonly #freeBytes: FreeBytes
  #isHeld = false
  #making: Promise<boolean> | undefined

  /**
   * 0 bytes is no reserve: it always seems to be there, and is never released. `freeBytes` tells what
   * room the disk of a directory has.
   */
  constructor(path: string, sizeBytes: number, freeBytes: FreeBytes = freeBytesOf) {
    this.#path = path
    this.#sizeBytes = sizeBytes
    this.#freeBytes = freeBytes
    if (sizeBytes === 0) this.#isHeld = true
  }

  /** Whether the file is there, as far as this process knows. */
  get isHeld(): boolean {
    return this.#isHeld
  }

  /** Makes the file if it is not there; false when the disk has too little room. */
  async make(): Promise<boolean> {
    if (this.#isHeld) return true
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined
    })
    return await this.#making
  }

  /**
   * Takes back what it can of the room, after it was used: what makes room a little at a time needs it
   * again, and whatever else writes on this disk would take it. Less than all of it is not held.
   */
  async restore(): Promise<void> {
    if (this.#isHeld || (await this.make())) return
    this.#making ??= this.#makePart().finally(() => {
      this.#making = undefined
    })
    await this.#making
  }

  /** Deletes the file, for its room; false when there is none. */
  async release(): Promise<boolean> {
    if (this.#sizeBytes === 0) return false
    await this.#making?.catch(() => false)
    const wasThere = (await this.#fileBytes()) > 0
    this.#isHeld = false
    await rm(this.#path, { force: true })
    return wasThere
  }

  async #make(): Promise<boolean> {
    const fileBytes = await this.#fileBytes()
    if (fileBytes !== this.#sizeBytes) {
      const freeBytes = await this.#freeBytes(dirname(this.#path))
      if (freeBytes + fileBytes < 2 * this.#sizeBytes) return false
      if (!(await this.#write(this.#sizeBytes))) return false
    }
    this.#isHeld = true
    return true
  }

  /** False: less than all of it. */
  async #makePart(): Promise<boolean> {
    const freeBytes = await this.#freeBytes(dirname(this.#path))
    const spareBytes = this.#sizeBytes / spareParts
    const partBytes = Math.min(this.#sizeBytes, Math.floor(freeBytes - spareBytes))
    if (partBytes > (await this.#fileBytes()) && partBytes >= spareBytes) {
      await this.#write(partBytes)
    }
    return false
  }

  /** False when others took the room meanwhile: whoever asked hears that the disk is full. */
  async #write(sizeBytes: number): Promise<boolean> {
    try {
      await using file = await open(this.#path, 'w')
      await file.writeFile(new Uint8Array(sizeBytes))
      // So that the room is taken, not only promised.
      await file.sync()
      return true
    } catch {
      await rm(this.#path, { force: true })
      return false
    }
  }

  async #fileBytes(): Promise<number> {
    const known = await stat(this.#path).catch(() => undefined)
    return known?.size ?? 0
  }
}
