import { isWithin, parentPath, type FilePath } from '../base/paths.ts'

/** What a commit holds, as simply as it can be said: the judge of the real thing. */
export class ModelCommit {
  readonly parent: string | undefined
  isOpen: boolean = true
  files: Map<string, string> = new Map()
  directories: Set<string> = new Set([''])
  conflicts: string[] = []

  constructor(parent: string | undefined, parentCommit: ModelCommit | undefined) {
    this.parent = parent
    if (parentCommit === undefined) return
    this.files = new Map(parentCommit.files)
    this.directories = new Set(parentCommit.directories)
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

  delete(path: string): void {
    const isGone = (other: string): boolean => isWithin(other as FilePath, path as FilePath)
    this.conflicts = this.conflicts.filter((conflict) => !isGone(conflict))
    this.files = new Map([...this.files].filter(([file]) => !isGone(file)))
    this.directories = new Set([...this.directories].filter((directory) => !isGone(directory)))
    this.directories.add('')
  }
}
