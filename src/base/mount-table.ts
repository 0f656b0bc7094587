/** A mount that a process has, as its `/proc/<pid>/mountinfo` tells of it. */
export interface Mount {
  readonly id: string
  /** Of the whole file system, as `0:48`: all subvolumes of a btrfs have one. */
  readonly device: string
  /** The path in the file system of what it shows. */
  readonly root: string
  readonly point: string
  /** Of this mount. */
  readonly options: readonly string[]
  readonly type: string
  /** Of the file system, wherever it is mounted. */
  readonly systemOptions: readonly string[]
}

/** Those in the text of `/proc/self/mountinfo`, the later ones over the earlier. */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line): readonly Mount[] => {
    // Up to a lone hyphen there may be any number of fields.
    const [before = '', after = ''] = line.split(' - ', 2)
    const [id = '', , device = '', root = '', point = '', options = ''] = before.split(' ')
    const [type, , systemOptions = ''] = after.split(' ')
    if (point === '' || type === undefined) return []
    return [
      {
        id,
        device,
        root: unescapedPath(root),
        point: unescapedPath(point),
        options: options.split(','),
        type,
        systemOptions: systemOptions.split(','),
      },
    ]
  })
}

/** A path of the table, where blanks and the like are written as three octal digits, byte by byte. */
export function unescapedPath(text: string): string {
  return text.replaceAll(/(?:\\[0-7]{3})+/g, (run) =>
    new TextDecoder().decode(
      Uint8Array.from(run.slice(1).split('\\'), (digits) => Number.parseInt(digits, 8)),
    ),
  )
}
