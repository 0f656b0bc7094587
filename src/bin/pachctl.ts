console.log('pachctl')
