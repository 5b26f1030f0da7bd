"""Read models for admins and users. Orders are counted in the view `orders`, never in the table `jobs`."""
