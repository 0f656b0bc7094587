/** The only version of a tree message that there ever was. */
export const treeMessageVersion = 1

/**
 * The fields of `HashTreeProto` and what it holds, as `number * 8 + wire type`.
 *
 *     HashTreeProto { 1 version: int32, 2 fs: map<string, NodeProto> }
 *     NodeProto { 1 name, 2 hash: bytes, 3 subtree_size: int64, 4 file_node, 5 dir_node }
 *     FileNodeProto { 4 objects: repeated Object { 1 hash: string } }
 *     DirectoryNodeProto { 3 children: repeated string }
 */
export const tags = {
  version: 0x08,
  entry: 0x12,
  key: 0x0a,
  node: 0x12,
  name: 0x0a,
  hash: 0x12,
  subtreeSize: 0x18,
  file: 0x22,
  directory: 0x2a,
  object: 0x22,
  objectHash: 0x0a,
  child: 0x1a,
} as const
