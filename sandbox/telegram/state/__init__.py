"""The server's state: bots, users, chats, files, payments, faults and limits, and the store that keeps them."""
