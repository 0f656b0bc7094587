// The gRPC project's own server, answering GetVersion with a constant: what small calls are measured against.
// Tells its port to the process that forked it.

import { Server, ServerCredentials } from '@grpc/grpc-js'

const path = '/versionpb.API/GetVersion'
const answer = Buffer.from([0x08, 0x01, 0x10, 0x05, 0x18, 0x03])
const same = (bytes: Buffer): Buffer => bytes

const server = new Server()
server.addService(
  {
    getVersion: {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  },
  {
    getVersion: (_call: unknown, reply: (error: null, value: Buffer) => void) =>
      reply(null, answer),
  },
)
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.send?.(port)
})
// Ends with the process that forked it, however that one ends.
process.once('disconnect', () => server.forceShutdown())
