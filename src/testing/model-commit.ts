import { isDeepStrictEqual } from 'node:util'
import { isWithin, parentPath, type FilePath } from '../base/paths.ts'

/** What came of a copy or a move. */
export type PlaceResult = 'done' | 'within' | 'missing' | 'root' | 'conflict' | 'taken'

/** What came of a split. */
export type SplitResult = 'done' | 'conflict' | 'file' | 'unnumbered'

/** What a commit holds, as simply as it can be said: the judge of the real thing. */
export class ModelCommit {
  parent: string | undefined
  readonly mergeParents: Set<string> = new Set()
  isOpen: boolean = true
  /** Orders commits by when they were started or, later, finished. */
  written = 0
  files: Map<string, string> = new Map()
  directories: Set<string> = new Set([''])
  conflicts: string[] = []

  constructor(parent: string | undefined, parentCommit: ModelCommit | undefined) {
    this.parent = parent
    if (parentCommit === undefined) return
    this.files = new Map(parentCommit.files)
    this.directories = new Set(parentCommit.directories)
  }

  hasFilesOf(other: ModelCommit): boolean {
    return (
      isDeepStrictEqual(this.files, other.files) &&
      isDeepStrictEqual(this.directories, other.directories)
    )
  }

  clone(): ModelCommit {
    const clone = new ModelCommit(this.parent, this)
    clone.conflicts = [...this.conflicts]
    return clone
  }

  become(other: ModelCommit): void {
    this.files = other.files
    this.directories = other.directories
    this.conflicts = other.conflicts
  }

  put(path: string, text: string, overwrite: boolean): 'done' | 'conflict' {
    const above: string[] = []
    for (let up = path; up !== '';) {
      up = parentPath(up as FilePath)
      above.push(up)
    }
    if (this.directories.has(path) || above.some((directory) => this.files.has(directory))) {
      this.conflicts.push(path)
      return 'conflict'
    }
    for (const directory of above) this.directories.add(directory)
    this.files.set(path, overwrite ? text : (this.files.get(path) ?? '') + text)
    return 'done'
  }

  /** Puts what `from` has at `source` to `path`, file by file; as it is, when it is this itself. */
  place(from: ModelCommit, source: string, path: string, overwrite: boolean): PlaceResult {
    const isBelow = (other: string): boolean => isWithin(other as FilePath, source as FilePath)
    const files = [...from.files].filter(([file]) => isBelow(file))
    const directories = [...from.directories].filter(isBelow)
    if (from === this && isWithin(path as FilePath, source as FilePath)) return 'within'
    if (files.length + directories.length === 0) return 'missing'
    if (path === '' && directories.length === 0) return 'root'
    const above = [...this.files.keys()].some(
      (file) => file !== path && isWithin(path as FilePath, file as FilePath),
    )
    if (above) return 'conflict'
    if (!overwrite && this.#isTaken(path)) return 'taken'
    if (overwrite) this.delete(path)
    else this.directories.delete(path)
    for (const [file, text] of files) this.files.set(path + file.slice(source.length), text)
    for (const directory of directories) this.directories.add(path + directory.slice(source.length))
    for (let up = path; up !== '';) {
      up = parentPath(up as FilePath)
      this.directories.add(up)
    }
    return 'done'
  }

  /** Puts each line as a file of its own. A refusal changes nothing. */
  split(path: string, lines: readonly string[], overwrite: boolean): SplitResult {
    if (lines.length === 0 && !overwrite) return 'done'
    const after = this.clone()
    const result = after.#split(path, lines, overwrite)
    if (result === 'done') this.become(after)
    return result
  }

  #split(path: string, lines: readonly string[], overwrite: boolean): SplitResult {
    const above = [...this.files.keys()].some(
      (file) => file !== path && isWithin(path as FilePath, file as FilePath),
    )
    if (overwrite) this.delete(path)
    if (above) return 'conflict'
    if (lines.length === 0) return 'done'
    if (this.files.has(path)) return 'file'
    const last = this.#childNames(path).at(-1)
    if (last !== undefined && !/^[0-9a-f]+$/.test(last)) return 'unnumbered'
    let number = last === undefined ? 0 : Number.parseInt(last, 16) + 1
    for (const line of lines) {
      const name = number.toString(16).padStart(16, '0')
      if (this.put(`${path}/${name}`, line, false) === 'conflict') return 'conflict'
      number += 1
    }
    return 'done'
  }

  /** In byte order, which for these names is that of their UTF-8. */
  #childNames(path: string): readonly string[] {
    const children = [...this.files.keys(), ...this.directories].filter(
      (other) => other !== '' && parentPath(other as FilePath) === path,
    )
    return children
      .map((child) => child.slice(path.length + 1))
      .toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)))
  }

  move(source: string, path: string, overwrite: boolean): PlaceResult {
    const result = this.place(this, source, path, overwrite)
    if (result === 'done' && !isWithin(source as FilePath, path as FilePath)) this.delete(source)
    return result
  }

  /** An empty directory makes way. */
  #isTaken(path: string): boolean {
    if (this.files.has(path)) return true
    const inside = [...this.files.keys(), ...this.directories].filter(
      (other) => other !== path && isWithin(other as FilePath, path as FilePath),
    )
    return inside.length > 0
  }

  delete(path: string): void {
    const isGone = (other: string): boolean => isWithin(other as FilePath, path as FilePath)
    this.conflicts = this.conflicts.filter((conflict) => !isGone(conflict))
    this.files = new Map([...this.files].filter(([file]) => !isGone(file)))
    this.directories = new Set([...this.directories].filter((directory) => !isGone(directory)))
    this.directories.add('')
  }
}
