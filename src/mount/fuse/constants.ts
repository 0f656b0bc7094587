// Numbers of the FUSE protocol, from Linux' include/uapi/linux/fuse.h.

/** The version that this program speaks: kernels of 2020 and later know it. */
export const protocolMajor = 7
export const protocolMinor = 31
/** Of Linux 3.15; before it, answers have another form. */
export const protocolMinorMin = 23

export const rootId = 1

export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  readdirplus: 44,
  rename2: 45,
} as const

/** What both sides can do, agreed on in INIT. */
export const InitFlag = {
  asyncRead: 0x1,
  atomicTruncate: 0x8,
  bigWrites: 0x20,
  autoInvalidateData: 0x1000,
  readdirplus: 0x2000,
  parallelDirectoryOperations: 0x40000,
  maxPages: 0x400000,
} as const

/** What an answer to OPEN or OPENDIR says of caching. */
export const OpenFlag = { keepCache: 0x2 } as const

/** What SETATTR changes. */
export const AttributeFlag = { mode: 0x1, uid: 0x2, gid: 0x4, size: 0x8 } as const

export const RenameFlag = { noReplace: 0x1 } as const

/** Of fs/open: what a file is opened for. */
export const AccessMode = { mask: 3, read: 0, truncate: 0o1000 } as const

export const FileMode = { directory: 0o040000, file: 0o100000 } as const

/** In directory entries: a file mode without permissions, 12 bits down. */
export const EntryType = { directory: 4, file: 8 } as const

export const NotifyCode = { invalidateEntry: 3 } as const

/** Sizes of structures, in bytes. */
export const Size = {
  inHeader: 40,
  outHeader: 16,
  attributes: 88,
  entry: 128,
  initAnswer: 64,
  writeRequest: 40,
  entryHead: 24,
} as const
