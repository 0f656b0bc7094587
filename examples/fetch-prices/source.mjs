// A web server that knows the price of coffee, another each time it is asked. It prints its URL, and
// serves until it is killed.

import { createServer } from 'node:http'

let asked = 0
const server = createServer((request, response) => {
  asked += 1
  const cents = 250 + Math.round(40 * Math.sin(asked))
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ product: 'coffee', cents }))
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/coffee`))
