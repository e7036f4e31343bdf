"""Who was here and when: what the records of logins hold, and what somebody took out of them."""
